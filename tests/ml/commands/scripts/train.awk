# The mean of disease_cases for each location.
BEGIN { FS = "," }
NR == 1 { for (i = 1; i <= NF; i++) column[$i] = i; next }
{
    place = $column["location"]
    sum[place] += $column["disease_cases"]
    count[place]++
    print "::progress " NR - 1
}
END {
    for (place in sum) print place "," sum[place] / count[place] > target
    print "trained on " NR - 1 " rows"
}
