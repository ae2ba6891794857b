import { describe, expect, test } from "vitest";
import { billsGpu, describeSituation, type Situation, situationOf } from "../../../../infra/vast/situation.ts";
import type { Contract } from "../../../../infra/vast/wire.ts";
import { contractOf } from "../../../helpers/vast-values.ts";

const BID = { isBid: true, gpuPricePerHour: 0.22 };
const fields = (intendedStatus: string | null, curState: string | null, actualStatus: string | null, more = {}) => ({
  intendedStatus,
  curState,
  actualStatus,
  statusMessage: "",
  ...more,
});

/** The API reference's table of situations (4.4): intended, current and actual state. */
test.each<[string, Partial<Contract>, Situation]>([
  ["just created", fields("running", "running", null), "pending"],
  ["pulling its image", fields("running", "running", "loading"), "pending"],
  ["pulling while the hardware is still stopped", fields("running", "stopped", "loading"), "pending"],
  ["made and not started", fields("running", "running", "created"), "pending"],
  ["up", fields("running", "running", "running"), "running"],
  ["stopped by a person, on demand", fields("stopped", "stopped", "exited", { isBid: false }), "stopped"],
  ["stopped by a person, shown as stopped", fields("stopped", "stopped", "stopped", { isBid: false }), "stopped"],
  ["stop requested, still running", fields("stopped", "running", "running", { isBid: false }), "stopped"],
  [
    "a bid that still wins, stopped by a person",
    fields("stopped", "stopped", "exited", { ...BID, minBidPerHour: 0.2 }),
    "stopped",
  ],
  ["outbid", fields("stopped", "stopped", "exited", { ...BID, minBidPerHour: 0.3 }), "outbid"],
  ["outbid, all three stopped", fields("stopped", "stopped", "stopped", { ...BID, minBidPerHour: 0.3 }), "outbid"],
  [
    "halted with no word about the floor",
    fields("stopped", "stopped", "exited", { ...BID, minBidPerHour: null }),
    "stopped",
  ],
  ["start queued, GPUs busy", fields("running", "stopped", "exited"), "pending"],
  [
    "given up by the host",
    fields("stopped", "stopped", "created", { statusMessage: "Error response from daemon" }),
    "failed",
  ],
  ["created with a bid that was too low", fields("stopped", "stopped", null, { ...BID, minBidPerHour: 0.3 }), "outbid"],
  [
    "a container that cannot start",
    fields("running", "running", "created", { statusMessage: "OCI runtime create failed" }),
    "failed",
  ],
  ["a container that ended by itself", fields("running", "running", "exited"), "failed"],
  ["frozen", fields("running", "running", "frozen"), "stopped"],
  ["host down", fields("running", "running", "offline"), "offline"],
  ["no heartbeat of the host", fields("running", "running", "unknown"), "offline"],
  ["rebooting", fields("running", "running", "rebooting"), "pending"],
  ["a status that nobody has listed", fields("running", "running", "thinking"), "pending"],
  ["nothing known at all", fields(null, null, null), "pending"],
  ["another intention", fields("bid", "running", "running"), "running"],
])("%s", (_what, changes, situation) => {
  expect(situationOf(contractOf(changes))).toBe(situation);
});

test("what is not in the list is gone", () => {
  expect(situationOf(undefined)).toBe("gone");
});

describe("billsGpu", () => {
  test.each<[Partial<Contract>, boolean]>([
    [fields("running", "running", "running"), true],
    [fields("stopped", "running", "running"), true],
    [fields("running", "running", "frozen"), true],
    [fields("running", "running", "rebooting"), true],
    [fields("running", "running", "exited"), true],
    [fields("running", "stopped", "exited"), false],
    [fields("stopped", "stopped", "exited"), false],
    [fields("running", "running", "loading"), false],
    [fields("running", "running", null), false],
    [fields("running", "running", "offline"), false],
  ])("%o: %s", (changes, expected) => {
    expect(billsGpu(contractOf(changes))).toBe(expected);
  });
});

test("a halted machine is described with what still bills", () => {
  const situations: Situation[] = ["gone", "pending", "running", "stopped", "outbid", "failed", "offline"];
  expect(situations.map(describeSituation)).toEqual([
    "gone",
    "loading",
    "running",
    "stopped (its disk bills)",
    "outbid (its disk bills)",
    "failed",
    "host offline",
  ]);
});
