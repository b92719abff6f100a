// What commands do that they should not: node misbehave.js WHAT
const fs = require("fs");

const deeds = {
  fail() {
    console.log("reading data.csv");
    console.error("Error: singular matrix");
    process.exitCode = 3;
  },
  link() {
    fs.symlinkSync("/etc/passwd", "passwd");
    fs.symlinkSync("/etc", "etc");
    fs.writeFileSync(".RData", "hidden");
    fs.writeFileSync("model", "fitted");
  },
  list() {
    for (const name of fs.readdirSync(".", { recursive: true }).sort()) console.log(`file ${name}`);
    fs.writeFileSync("model", process.argv.slice(3).join("\n"));
  },
  lock() {
    fs.mkdirSync("locked");
    fs.writeFileSync("locked/file", "");
    fs.writeFileSync(`${process.env.TMPDIR}/scratch`, "");
    fs.chmodSync("locked", 0);
    process.exitCode = 1;
  },
  grow() {
    fs.writeFileSync("model", Buffer.alloc(2_000_000));
  },
  wait() {
    fs.writeFileSync(`${process.env.TMPDIR}/scratch`, "");
    fs.writeFileSync("begun", "");
    console.log("waiting");
    setInterval(() => {}, 1000);
  },
  refuse() {
    process.on("SIGTERM", () => {});
    deeds.wait();
  },
  keep() {
    for (const name of ["config.yml", "data.csv", "run_info.json"]) fs.copyFileSync(name, `kept-${name}`);
  },
  nothing() {},
  infinite() {
    fs.writeFileSync("predictions.csv", "time_period,location,sample_0\n2024-01,north,1.5\n2024-02,north,Inf\n");
  },
};

deeds[process.argv[2]]();
