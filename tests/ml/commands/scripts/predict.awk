# For each row of the future: the mean of its location, and a second sample.
BEGIN { FS = "," }
FILENAME == model { mean[$1] = $2; next }
FNR == 1 {
    for (i = 1; i <= NF; i++) column[$i] = i
    print "time_period,location,sample_0,sample_1" > target
    next
}
{
    place = $column["location"]
    print $column["time_period"] "," place "," mean[place] "," mean[place] + 1 > target
}
