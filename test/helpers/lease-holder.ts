/**
 * A process that takes a run's lease and publishes a checkpoint every 100 ms until it loses it; says what happens as
 * JSON lines. Run by tests, which freeze it: `node lease-holder.ts '<store access and holder, as JSON>'`.
 */
import { formatCheckpointId } from "../../common/checkpoint-id.ts";
import { systemClock } from "../../common/clock.ts";
import { acquireLease, headToBuildOn, LeaseLost, manifestKey, moveHead } from "../../runtime/lease/index.ts";
import { openStore } from "../../runtime/store/index.ts";

const { access, id, ttlSeconds, renewMs } = JSON.parse(process.argv[2] ?? "");
const say = (line: object) => console.log(JSON.stringify(line));

const store = openStore(access);
const held = await acquireLease({
  store,
  runId: "test/run",
  holder: { id, contractId: null, hostname: `host-${id}`, pid: process.pid },
  clock: systemClock,
  log: (line) => say({ log: line }),
  ttlSeconds,
  renewMs,
  pollMs: 200,
});
say({ held: held.epoch, pid: process.pid });
held.lost.then((lost) => {
  say({ lost: lost.why });
  process.exit(0);
});

for (let step = 1; ; step += 1) {
  await systemClock.sleep(100);
  const name = formatCheckpointId({ step, epoch: held.epoch });
  try {
    const { checkpoint: parent } = await headToBuildOn(store, held);
    // As after a freeze between the look and the write: what the guard cannot see, the head must.
    await store.put(manifestKey(name), JSON.stringify({ format: 1, id: name, parent }), { ifNoneMatch: "*" });
    await moveHead(store, { ...held, assertHeld: async () => {} }, name);
    say({ published: name });
  } catch (error) {
    if (!(error instanceof LeaseLost)) throw error;
    say({ refused: name });
  }
}
