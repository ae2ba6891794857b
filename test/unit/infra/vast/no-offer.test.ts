import { expect, test } from "vitest";
import { noOfferError } from "../../../../infra/vast/no-offer.ts";
import { offerOf, requestOf } from "../../../helpers/vast-values.ts";

const offers = [
  offerOf({ id: 1, gpuName: "RTX 3090" }),
  offerOf({ id: 2, gpuName: "RTX 3090", isVerified: false }),
  offerOf({ id: 3, gpuCount: 2, isVerified: false }),
];

test("names each condition with how many offers it rules out, and the smallest change that helps", () => {
  expect(noOfferError(requestOf({ gpu: { names: ["RTX 4090"] } }), offers).message).toBe(
    `VL_NO_OFFER: none of 3 offers fits
  why: 
           vastlane:gpu.names (RTX 4090) rules out 2
           vastlane:gpu.verified (true) rules out 2
           vastlane:gpu.count (1) rules out 1
  do:  smallest single change: vastlane:gpu.names -> add RTX 3090, which allows a 1x RTX 3090 at $0.210/h`,
  );
});

test("says so when no single change is enough", () => {
  const request = requestOf({ gpu: { names: ["H100 SXM"], count: 8 } });
  expect(noOfferError(request, offers).message).toBe(
    `VL_NO_OFFER: none of 3 offers fits
  why: 
           vastlane:gpu.names (H100 SXM) rules out 3
           vastlane:gpu.count (8) rules out 3
           vastlane:gpu.verified (true) rules out 2
  do:  no single change is enough: relax the two conditions that rule out most`,
  );
});

test("names a cap below every offer with the price that would do", () => {
  const request = requestOf({ rental: { maxPricePerHour: 0.1 } });
  const { message } = noOfferError(request, [offerOf({ minBidPerHour: 0.3 }), offerOf({ id: 2, minBidPerHour: 0.2 })]);
  expect(message).toContain("vastlane:rental.maxPricePerHour (at most 0.1) rules out 2");
  expect(message).toContain("vastlane:rental.maxPricePerHour -> 0.21, which allows a 1x RTX 4090 at $0.210/h");
});

test("tells offers that fit but are taken apart", () => {
  const { message } = noOfferError(requestOf(), [offerOf()], () => true);
  expect(message).toBe(
    `VL_NO_OFFER: none of 1 offers fits
  why: 
           1 would fit but failed lately or are being rented right now
  do:  wait a few minutes, then run the command again, or widen vastlane:gpu`,
  );
});

test("says when some fit, but not enough for all machines", () => {
  const { message } = noOfferError(requestOf(), [offerOf(), offerOf({ id: 2, isVerified: false })], undefined, 3);
  expect(message).toContain("VL_NO_OFFER: only 1 of 2 offers fits, for 3 machines");
  expect(message).toContain("vastlane:gpu.verified -> false");
});

test("an empty market and one that moved are said apart", () => {
  expect(noOfferError(requestOf(), []).message).toBe(
    `VL_NO_OFFER: the market shows no offers at all
  do:  wait a minute, then run the command again`,
  );
  expect(noOfferError(requestOf(), [offerOf()]).message).toBe(
    `VL_NO_OFFER: the offers changed while they were looked through
  do:  run the command again`,
  );
});
