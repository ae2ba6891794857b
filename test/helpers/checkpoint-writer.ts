/**
 * A training loop without training, to be killed: goes on from the newest checkpoint, saves and uploads one step after
 * the other. Prints `ready`, begins at the first line of its input, and prints
 * what it has done. Arguments: folder, endpoint, bucket, prefix.
 */
import { once } from "node:events";
import { CheckpointManager } from "../../runtime/checkpoint/index.ts";
import { tensorsOf } from "./checkpoint-values.ts";

const [localDir = "", endpoint = "", remoteBucket = "", remotePrefix = "", accessKeyId = "", secretAccessKey = ""] =
  process.argv.slice(2);
const credentials = { accessKeyId, secretAccessKey };
const checkpoints = new CheckpointManager({
  localDir,
  remoteBucket,
  remotePrefix,
  endpoint,
  credentials,
  region: "us-east-1",
  keepLast: 2,
});
await checkpoints.list(); // loads the SDK, so that the time after `ready` is work
process.stdout.write("ready\n");
await once(process.stdin, "data");
const last = await checkpoints.loadLatest();
process.stdout.write("loaded\n");
for (let step = (last?.step ?? 0) + 1; ; step += 1) {
  await checkpoints.save({ step, tensors: tensorsOf(step), state: { step }, metrics: { loss: 1 / step } });
  process.stdout.write(`saved ${step}\n`);
  await checkpoints.uploadLatest();
  process.stdout.write(`uploaded ${step}\n`);
}
