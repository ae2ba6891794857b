import { expect, test } from "vitest";
import { viewOf } from "../../../../infra/vast/machines.ts";
import { contractOf } from "../../../helpers/vast-values.ts";

const LABEL = "vl1:scope1:main:hash:nonce";
const SCOPES = { scope1: { stack: "dev", project: "vastlane" } };
const HOUR_LATER = contractOf().startedAt + 3600;
const OUTBID = { intendedStatus: "stopped", curState: "stopped", actualStatus: "exited", minBidPerHour: 9 };

test("a running machine of a stack of ours", () => {
  expect(viewOf(contractOf({ label: LABEL }), SCOPES, HOUR_LATER)).toEqual({
    contractId: 5001,
    stack: "dev",
    name: "main",
    owner: "ours",
    gpu: "1x RTX 4090",
    geolocation: "Oslo, NO",
    situation: "running",
    pricePerHourNow: 0.23,
    pricePerHourRunning: 0.23,
    diskPricePerMonth: 7.2,
    ageSeconds: 3600,
    costUsd: 0.23,
    label: LABEL,
  });
});

test.each([
  ["ours", LABEL, SCOPES, "dev"],
  ["foreign", LABEL, {}, null],
  ["other", "by hand", SCOPES, null],
  ["other", null, SCOPES, null],
])("%s: label %j", (owner, label, scopes, stack) => {
  expect(viewOf(contractOf({ label }), scopes, HOUR_LATER)).toMatchObject({ owner, stack });
});

test.each([
  ["outbid: the disk bills now, and the cost so far is an upper estimate", OUTBID, 0.01, 0.23],
  ["loading: only the disk", { actualStatus: "loading" }, 0.01, 0.01],
  ["frozen: the GPUs bill as well", { actualStatus: "frozen" }, 0.23, 0.23],
  ["ended by itself: the GPUs stay allocated", { actualStatus: "exited" }, 0.23, 0.23],
])("%s", (_what, changes, pricePerHourNow, costUsd) => {
  expect(viewOf(contractOf(changes), {}, HOUR_LATER)).toMatchObject({ pricePerHourNow, costUsd });
});

test("a market whose clock is behind makes no negative age or cost", () => {
  expect(viewOf(contractOf(), {}, 0)).toMatchObject({ ageSeconds: 0, costUsd: 0 });
});
