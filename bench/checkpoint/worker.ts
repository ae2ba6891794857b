/**
 * One save, upload or restore in a process of its own: `save DIR BYTES`, `upload DIR PREFIX`, `download DIR PREFIX`.
 * The store comes as JSON on stdin; seconds and peak memory go to stdout. Time begins when the program is loaded.
 */
import { readFileSync } from "node:fs";
import { CheckpointManager } from "../../runtime/checkpoint/index.ts";

const [act, localDir = "", value = ""] = process.argv.slice(2);
const { endpoint, region, bucket, keys } = JSON.parse(readFileSync(0, "utf8"));
const checkpoints = new CheckpointManager({
  localDir,
  remoteBucket: bucket,
  remotePrefix: value,
  endpoint,
  region,
  credentials: { accessKeyId: keys.accessKeyId, secretAccessKey: keys.secretAccessKey },
  log: () => {},
});
const started = performance.now();
if (act === "save") {
  const data = new Float32Array(Number(value) / 4);
  crypto.getRandomValues(new Uint8Array(data.buffer, 0, 65_536));
  for (let done = 65_536; done < data.byteLength; done *= 2) new Uint8Array(data.buffer).copyWithin(done, 0, done);
  await checkpoints.save({ step: 1, tensors: { w: { dtype: "F32", shape: [data.length], data } } });
} else if (act === "upload") await checkpoints.uploadLatest();
else await checkpoints.downloadLatest();
const seconds = (performance.now() - started) / 1000;
checkpoints.close();
process.stdout.write(JSON.stringify({ seconds, peakRss: process.resourceUsage().maxRSS * 1024 }));
