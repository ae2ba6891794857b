/** Filter, cost and ranking: tables for what each condition means, properties for what must hold of any market. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  baseQuery,
  CONDITIONS,
  compareVersions,
  countryOf,
  DEFAULT_COST_MODEL,
  diskPricePerHour,
  planRent,
  type RentRequest,
  sameName,
  searchQuery,
  smallestRelaxation,
  stillFits,
  vramGB,
} from "../../../../infra/vast/offers.ts";
import type { Contract, Offer } from "../../../../infra/vast/wire.ts";
import { anyOffer, anyOffers, anyRequest, contractOf, offerOf, requestOf } from "../../../helpers/vast-values.ts";

const candidatesOf = (request: RentRequest, offers: Offer[]) => planRent(request, offers).candidates;
const idsOf = (request: RentRequest, offers: Offer[]) => candidatesOf(request, offers).map(({ offer }) => offer.id);

describe("conditions", () => {
  test.each<[string, Parameters<typeof requestOf>[0], Partial<Offer>, Partial<Offer>]>([
    ["gpu.names", { gpu: { names: ["RTX 4090"] } }, { gpuName: "RTX 4090" }, { gpuName: "RTX 4090 D" }],
    ["gpu.names", { gpu: { names: ["rtx_4090"] } }, { gpuName: "RTX 4090" }, { gpuName: "RTX 3090" }],
    ["gpu.count", { gpu: { count: 2 } }, { gpuCount: 2 }, { gpuCount: 4 }],
    ["gpu.minVramGB", { gpu: { minVramGB: 24 } }, { gpuRamMB: 24564 }, { gpuRamMB: 22528 }],
    ["gpu.minVramGB", { gpu: { minVramGB: 80 } }, { gpuRamMB: 81559 }, { gpuRamMB: 49140 }],
    ["gpu.minCuda", { gpu: { minCuda: "12.4" } }, { cudaVersion: 12.4 }, { cudaVersion: 12.2 }],
    ["gpu.minCuda", { gpu: { minCuda: "12.4" } }, { cudaVersion: 13 }, { cudaVersion: 11.8 }],
    ["gpu.minReliability", { gpu: { minReliability: 0.9 } }, { reliability: 0.9 }, { reliability: 0.899 }],
    ["gpu.verified", {}, { isVerified: true }, { isVerified: false }],
    ["gpu.geolocation", { gpu: { geolocation: ["no"] } }, { geolocation: "Oslo, NO" }, { geolocation: "Norway" }],
    ["gpu.geolocation", { gpu: { geolocation: ["NO", "SE"] } }, { geolocation: "SE" }, { geolocation: "" }],
    ["gpu.minDownMbps", { gpu: { minDownMbps: 200 } }, { downMbps: 200 }, { downMbps: 199 }],
    ["gpu.exclude", { gpu: { exclude: { machines: [7], hosts: [] } } }, { machineId: 8 }, { machineId: 7 }],
    ["gpu.exclude", { gpu: { exclude: { machines: [], hosts: [3] } } }, { hostId: null }, { hostId: 3 }],
    ["machine.diskGB", { diskGB: 100 }, { diskSpaceGB: 100 }, { diskSpaceGB: 99.9 }],
    ["budget.maxHours", { minHours: 24 }, { durationS: 86400 }, { durationS: 86399 }],
    ["rental.bid", { rental: { bid: 0.3 } }, { minBidPerHour: 0.3 }, { minBidPerHour: 0.301 }],
    ["rental.maxPricePerHour", { rental: { maxPricePerHour: 0.21 } }, { minBidPerHour: 0.2 }, { minBidPerHour: 0.21 }],
    [
      "rental.maxPricePerHour",
      { rental: { type: "on-demand", maxPricePerHour: 0.41 } },
      { gpuPricePerHour: 0.4, minBidPerHour: 9 },
      { gpuPricePerHour: 0.41 },
    ],
  ])("%s: %o lets %o in and %o out", (name, changes, good, bad) => {
    const request = requestOf(changes);
    const plan = planRent(request, [offerOf({ id: 1, ...good }), offerOf({ id: 2, ...bad })]);
    expect(plan.candidates.map(({ offer }) => offer.id)).toEqual([1]);
    expect(plan.rejections).toMatchObject([{ condition: name, count: 1 }]);
  });

  test("a condition that the request does not use rules nothing out", () => {
    const request = requestOf({ gpu: { minReliability: 0, verified: false }, minHours: 0 });
    const poor = offerOf({ reliability: 0, isVerified: false, durationS: 0, cudaVersion: 0, gpuRamMB: 0, downMbps: 0 });
    expect(idsOf(request, [poor])).toEqual([1]);
  });

  test("an offer without a price is no candidate", () => {
    const unpriced = offerOf({ gpuPricePerHour: Number.POSITIVE_INFINITY, minBidPerHour: Number.POSITIVE_INFINITY });
    expect(idsOf(requestOf(), [unpriced])).toEqual([]);
    expect(idsOf(requestOf({ rental: { type: "on-demand" } }), [unpriced])).toEqual([]);
  });

  test("each condition is named once, by the configuration's own path", () => {
    const names = CONDITIONS.map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^(gpu|rental|machine|budget)\.\w+$/);
  });
});

describe("any plan", () => {
  test("holds only offers that satisfy every condition, each once", () => {
    fc.assert(
      fc.property(anyRequest, anyOffers, (request, offers) => {
        const ids = candidatesOf(request, offers).map(({ offer }) => {
          for (const condition of CONDITIONS)
            expect(!condition.isUsed(request) || condition.holds(offer, request)).toBe(true);
          return offer.id;
        });
        expect(new Set(ids).size).toBe(ids.length);
      }),
    );
  });

  test("leaves an offer out only for a condition that it counts", () => {
    fc.assert(
      fc.property(anyRequest, anyOffers, (request, offers) => {
        const { candidates, rejections, offersSeen } = planRent(request, offers);
        expect(offersSeen).toBe(offers.length);
        const out = offers.length - candidates.length;
        expect(out > 0).toBe(rejections.length > 0);
        for (const { count } of rejections) expect(count).toBeLessThanOrEqual(out);
        expect(rejections.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThanOrEqual(out);
      }),
    );
  });

  test("never costs more than the cap, nor bids below the lowest winning bid", () => {
    fc.assert(
      fc.property(anyRequest, anyOffers, (request, offers) => {
        for (const { offer, bidPerHour, pricePerHour } of candidatesOf(request, offers)) {
          expect(pricePerHour).toBeLessThanOrEqual(request.rental.maxPricePerHour + 1e-6);
          const gpus = bidPerHour ?? offer.gpuPricePerHour;
          expect(pricePerHour).toBeCloseTo(gpus + diskPricePerHour(offer, request.diskGB), 9);
          expect(bidPerHour === null).toBe(request.rental.type === "on-demand");
          if (bidPerHour !== null) {
            expect(bidPerHour).toBeGreaterThanOrEqual(offer.minBidPerHour);
            expect(bidPerHour).toBeGreaterThanOrEqual(0.001);
            if (request.rental.bid !== "auto") expect(bidPerHour).toBe(request.rental.bid);
          }
        }
      }),
    );
  });

  test("has useful hours that cost at least what the bill says", () => {
    fc.assert(
      fc.property(anyRequest, anyOffers, (request, offers) => {
        for (const { costPerUsefulHour, pricePerHour } of candidatesOf(request, offers)) {
          expect(Number.isFinite(costPerUsefulHour)).toBe(true);
          expect(costPerUsefulHour).toBeGreaterThanOrEqual(pricePerHour);
        }
      }),
    );
  });

  test("does not lose candidates when offers are added", () => {
    fc.assert(
      fc.property(anyRequest, anyOffers, anyOffer, (request, offers, extra) => {
        const before = idsOf(request, offers);
        const after = idsOf(request, [...offers, { ...extra, id: 1000 }]);
        expect(after.filter((id) => id !== 1000)).toEqual(before);
      }),
    );
  });

  test("ranks in one order, whatever the order of the market's answer", () => {
    fc.assert(
      fc.property(
        anyRequest,
        anyOffers.chain((offers) =>
          fc.tuple(fc.constant(offers), fc.shuffledSubarray(offers, { minLength: offers.length })),
        ),
        (request, [offers, shuffled]) => {
          const ranked = candidatesOf(request, offers);
          expect(candidatesOf(request, shuffled)).toEqual(ranked);
          for (const [i, { costPerUsefulHour, offer }] of ranked.entries()) {
            const next = ranked[i + 1];
            if (!next) continue;
            expect(costPerUsefulHour).toBeLessThanOrEqual(next.costPerUsefulHour);
            if (costPerUsefulHour === next.costPerUsefulHour) expect(offer.id).toBeLessThan(next.offer.id);
          }
        },
      ),
    );
  });

  test("does not shrink when a condition that rules something out is relaxed", () => {
    fc.assert(
      fc.property(anyRequest, anyOffers, (request, offers) => {
        const before = idsOf(request, offers);
        for (const condition of CONDITIONS) {
          // A condition on a number is relaxed to one offer's, which for `count` and `bid` is another, not a wider one.
          if (["gpu.count", "rental.bid", "machine.diskGB"].includes(condition.name)) continue;
          for (const offer of offers.filter((it) => condition.isUsed(request) && !condition.holds(it, request))) {
            const relaxed = condition.relax?.(offer, request);
            if (!relaxed) continue;
            expect(condition.holds(offer, relaxed.request)).toBe(true);
            expect(idsOf(relaxed.request, offers)).toEqual(expect.arrayContaining(before));
          }
        }
      }),
    );
  });

  test("leaves out what is taken, and counts it for no condition", () => {
    fc.assert(
      fc.property(anyRequest, anyOffers, (request, offers) => {
        const free = planRent(request, offers);
        const isTaken = (offer: Offer) => offer.id % 2 === 0;
        const plan = planRent(request, offers, DEFAULT_COST_MODEL, isTaken);
        expect(plan.candidates).toEqual(free.candidates.filter(({ offer }) => !isTaken(offer)));
        expect(plan.rejections).toEqual(free.rejections);
      }),
    );
  });
});

describe("ranking", () => {
  const cheapest = offerOf({ id: 1, minBidPerHour: 0.2 });
  test.each<[string, Partial<Offer>]>([
    ["a higher price", { minBidPerHour: 0.25 }],
    ["a dearer disk", { diskUsdPerGBMonth: 0.5 }],
    ["less reliability", { reliability: 0.95 }],
    ["dear traffic", { downUsdPerGB: 0.05 }],
  ])("%s comes later", (_what, changes) => {
    expect(idsOf(requestOf(), [offerOf({ ...cheapest, ...changes, id: 0 }), cheapest])[0]).toBe(1);
  });

  test("ties go to the lower id", () => {
    expect(idsOf(requestOf(), [offerOf({ id: 3 }), offerOf({ id: 2 })])).toEqual([2, 3]);
  });

  test("a measured speed makes a dearer GPU the better one", () => {
    const slow = offerOf({ id: 1, gpuName: "RTX 3090", minBidPerHour: 0.2 });
    const fast = offerOf({ id: 2, gpuName: "H100 SXM", minBidPerHour: 0.5 });
    expect(idsOf(requestOf(), [slow, fast])).toEqual([1, 2]);
    const model = { ...DEFAULT_COST_MODEL, speed: { "H100 SXM": 4 } };
    expect(planRent(requestOf(), [slow, fast], model).candidates[0]?.offer.id).toBe(2);
  });

  test("bids above the floor where interruptions cost more than the premium, and at it where they cost nothing", () => {
    const bidWith = (lossPerInterruptionHours: number) =>
      planRent(requestOf(), [cheapest], { ...DEFAULT_COST_MODEL, lossPerInterruptionHours }).candidates[0]?.bidPerHour;
    expect(bidWith(0)).toBe(0.2);
    expect(bidWith(2)).toBeGreaterThan(0.2);
    expect(bidWith(2)).toBeLessThanOrEqual(0.3);
  });

  test("a cap just above the floor is used up to the last tenth of a cent", () => {
    const offer = offerOf({ minBidPerHour: 0.2004, diskUsdPerGBMonth: 0 });
    const [candidate] = candidatesOf(requestOf({ rental: { maxPricePerHour: 0.2006 } }), [offer]);
    expect(candidate?.bidPerHour).toBe(0.2006);
  });
});

describe("smallestRelaxation", () => {
  test("applied to the request really lets the offer in, at the named price", () => {
    fc.assert(
      fc.property(anyRequest, anyOffers, (request, offers) => {
        const relaxation = smallestRelaxation(request, offers);
        if (!relaxation) return;
        const { offer, pricePerHour, request: relaxed } = relaxation;
        expect(idsOf(request, [offer])).toEqual([]);
        expect(candidatesOf(relaxed, [offer])).toMatchObject([{ pricePerHour }]);
        expect(pricePerHour).toBeLessThanOrEqual(relaxed.rental.maxPricePerHour + 1e-6);
      }),
      { numRuns: 500 },
    );
  });

  test("changes one key of the configuration, to a value that the configuration takes", () => {
    fc.assert(
      fc.property(anyRequest, anyOffers, (request, offers) => {
        const relaxed = smallestRelaxation(request, offers)?.request;
        if (!relaxed) return;
        const changed = [
          ...Object.entries(relaxed.gpu).filter(([key, value]) => value !== request.gpu[key as "count"]),
          ...Object.entries(relaxed.rental).filter(([key, value]) => value !== request.rental[key as "bid"]),
          ...[relaxed.diskGB - request.diskGB, relaxed.minHours - request.minHours].filter((it) => it !== 0),
        ];
        expect(changed).toHaveLength(1);
        expect(() => requestOf({ gpu: relaxed.gpu, rental: relaxed.rental })).not.toThrow();
        expect(relaxed.diskGB).toBeGreaterThanOrEqual(1);
        expect(relaxed.minHours).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  test("is the cheapest of those that need one change", () => {
    fc.assert(
      fc.property(anyRequest, anyOffers, (request, offers) => {
        const all = offers.flatMap((offer) => smallestRelaxation(request, [offer]) ?? []);
        const best = smallestRelaxation(request, offers);
        expect(best?.pricePerHour).toBe(
          all.length === 0 ? undefined : Math.min(...all.map(({ pricePerHour }) => pricePerHour)),
        );
      }),
    );
  });

  test.each<[string, Parameters<typeof requestOf>[0], Partial<Offer>, string | undefined]>([
    ["gpu.names", { gpu: { names: ["RTX 3090"] } }, {}, "add RTX 4090"],
    ["gpu.count", { gpu: { count: 2 } }, {}, "1"],
    ["gpu.minVramGB", { gpu: { minVramGB: 48 } }, {}, "24"],
    ["gpu.minCuda", { gpu: { minCuda: "12.9" } }, {}, '"12.8"'],
    ["gpu.minReliability", {}, { reliability: 0.9239 }, "0.923"],
    ["gpu.verified", {}, { isVerified: false }, "false"],
    ["gpu.geolocation", { gpu: { geolocation: ["SE"] } }, {}, "add NO"],
    ["gpu.geolocation", { gpu: { geolocation: ["SE"] } }, { geolocation: "" }, "[]"],
    ["gpu.minDownMbps", { gpu: { minDownMbps: 1000 } }, { downMbps: 912.7 }, "912"],
    ["machine.diskGB", {}, { diskSpaceGB: 39.5 }, "39"],
    ["budget.maxHours", {}, { durationS: 5.59 * 3600 }, "5.5"],
    ["rental.bid", { rental: { bid: 0.1 } }, { minBidPerHour: 0.201 }, "0.21"],
    ["rental.maxPricePerHour", { rental: { maxPricePerHour: 0.1 } }, {}, "0.21"],
    ["nothing for what was excluded by hand", { gpu: { exclude: { machines: [101], hosts: [] } } }, {}, undefined],
    ["nothing for a disk below 1 GB", {}, { diskSpaceGB: 0.5 }, undefined],
    ["nothing for an offer that ends now", {}, { durationS: 10 }, undefined],
    ["nothing for a bid that the cap does not allow", { rental: { bid: 0.1, maxPricePerHour: 0.15 } }, {}, undefined],
    ["nothing where two changes are needed", { gpu: { count: 2, minVramGB: 48 } }, {}, undefined],
  ])("%s", (name, changes, offer, change) => {
    const relaxation = smallestRelaxation(requestOf(changes), [offerOf(offer)]);
    expect(relaxation?.change).toBe(change);
    if (change !== undefined) expect(relaxation?.condition).toBe(name);
  });
});

describe("stillFits", () => {
  test.each<[string, Partial<Contract>, Parameters<typeof requestOf>[0], boolean]>([
    ["unchanged", {}, {}, true],
    ["on demand where a bid is asked for", { isBid: false }, {}, false],
    ["a bid where on demand is asked for", {}, { rental: { type: "on-demand" } }, false],
    ["names narrowed to others", {}, { gpu: { names: ["H100 SXM"] } }, false],
    ["names narrowed to its own", {}, { gpu: { names: ["rtx_4090"] } }, true],
    ["more GPUs", {}, { gpu: { count: 2 } }, false],
    ["more memory", {}, { gpu: { minVramGB: 48 } }, false],
    ["newer CUDA", {}, { gpu: { minCuda: "13" } }, false],
    ["another country", {}, { gpu: { geolocation: ["SE"] } }, false],
    ["verified wanted, and it is not", { isVerified: false }, {}, false],
    ["excluded now", {}, { gpu: { exclude: { machines: [101], hosts: [] } } }, false],
    ["its host excluded now", {}, { gpu: { exclude: { machines: [], hosts: [11] } } }, false],
    ["a bigger disk", {}, { diskGB: 80 }, false],
    ["more reliability: moves every day", { reliability: 0.9 }, { gpu: { minReliability: 0.99 } }, true],
    ["more speed: moves every day", { downMbps: 10 }, { gpu: { minDownMbps: 1000 } }, true],
    ["longer hours: said by the rent", {}, { minHours: 10_000 }, true],
    ["a cap below its bid: the bid can be lowered", {}, { rental: { maxPricePerHour: 0.1 } }, true],
    ["a cap below its disk", {}, { rental: { maxPricePerHour: 0.005 } }, false],
    [
      "a cap below its fixed price",
      { isBid: false, gpuPricePerHour: 0.4 },
      { rental: { type: "on-demand", maxPricePerHour: 0.3 } },
      false,
    ],
    [
      "a cap at its fixed price",
      { isBid: false, gpuPricePerHour: 0.4 },
      { rental: { type: "on-demand", maxPricePerHour: 0.41 } },
      true,
    ],
  ])("%s", (_what, contract, request, fits) => {
    expect(stillFits(contractOf(contract), requestOf(request))).toBe(fits);
  });

  test("facts that the market leaves out speak for the machine", () => {
    const bare = contractOf({
      gpuName: "unknown",
      gpuCount: 0,
      gpuRamMB: 0,
      cudaVersion: 0,
      reliability: 0,
      isVerified: null,
      geolocation: "",
      downMbps: 0,
      diskGB: 0,
      machineId: null,
      hostId: null,
    });
    const strict = requestOf({
      gpu: { names: ["H100 SXM"], count: 8, minVramGB: 80, minCuda: "13", geolocation: ["SE"] },
    });
    expect(stillFits(bare, strict)).toBe(true);
  });

  test("what was just rented from an offer fits its own request", () => {
    fc.assert(
      fc.property(anyRequest, anyOffers, (request, offers) => {
        for (const { offer, bidPerHour } of candidatesOf(request, offers)) {
          const contract = contractOf({
            ...offer,
            isBid: bidPerHour !== null,
            gpuPricePerHour: bidPerHour ?? offer.gpuPricePerHour,
            diskGB: request.diskGB,
            diskPricePerHour: diskPricePerHour(offer, request.diskGB),
          });
          expect(stillFits(contract, request)).toBe(true);
        }
      }),
    );
  });
});

describe("queries", () => {
  test("the search asks for what the market can filter", () => {
    const request = requestOf({
      gpu: {
        names: ["RTX_4090"],
        minVramGB: 24,
        minCuda: "12.4",
        geolocation: ["no"],
        minDownMbps: 200,
        exclude: { machines: [7], hosts: [3] },
      },
    });
    expect(searchQuery(request)).toEqual({
      rentable: { eq: true },
      rented: { eq: false },
      external: { eq: false },
      verified: { eq: true },
      type: "bid",
      order: [["dph_total", "asc"]],
      allocated_storage: 40,
      limit: 64,
      num_gpus: { eq: 1 },
      disk_space: { gte: 40 },
      gpu_name: { in: ["RTX 4090"] },
      gpu_ram: { gte: 22800 },
      cuda_max_good: { gte: 12.4 },
      reliability2: { gte: 0.95 },
      geolocation: { in: ["NO"] },
      inet_down: { gte: 200 },
      duration: { gte: 86400 },
      machine_id: { notin: [7] },
      host_id: { notin: [3] },
    });
  });

  test("conditions that are not used are not sent, and the cap only where the market knows the price", () => {
    const query = searchQuery(requestOf({ gpu: { minReliability: 0, verified: false }, minHours: 0 }));
    for (const key of ["gpu_name", "gpu_ram", "cuda_max_good", "reliability2", "geolocation", "inet_down", "duration"])
      expect(query).not.toHaveProperty(key);
    expect(query).not.toHaveProperty("dph_total");
    expect(query.verified).toEqual({ in: [true, false] });
    expect(searchQuery(requestOf({ rental: { type: "on-demand", maxPricePerHour: 0.5 } })).dph_total).toEqual({
      lte: 0.5,
    });
  });

  test("the query behind an explanation asks for everything that can be rented", () => {
    const { limit, type, verified } = baseQuery(requestOf({ rental: { type: "on-demand" } }));
    expect({ limit, type, verified }).toEqual({ limit: 64, type: "on-demand", verified: { in: [true, false] } });
  });
});

test.each([
  ["RTX 4090", "rtx_4090", true],
  ["RTX 4090", "NVIDIA RTX 4090", true],
  ["RTX 4090", "GeForce RTX 4090", true],
  ["RTX 4090", "RTX 4090 D", false],
  ["A100 SXM4", "A100 PCIE", false],
])("%s and %s are the same model: %s", (a, b, isSame) => {
  expect(sameName(a, b)).toBe(isSame);
});

test.each([
  ["12.4", "12.4", 0],
  ["12.10", "12.4", 1],
  ["12.4", "12.10", -1],
  ["13", "12.9", 1],
  ["12", "12.0", 0],
  ["12.4.1", "12.4", 1],
])("version %s against %s: %i", (a, b, sign) => {
  expect(Math.sign(compareVersions(a, b))).toBe(sign);
});

test.each([
  ["Oslo, NO", "NO"],
  ["US", "US"],
  ["Texas, us ", "US"],
  ["", ""],
  ["12", ""],
])("the country of %j is %j", (geolocation, country) => {
  expect(countryOf({ geolocation })).toBe(country);
});

test.each([
  [24564, 24],
  [81559, 80],
  [12288, 12],
  [0, 0],
])("%i MB is a %i GB card", (gpuRamMB, gb) => {
  expect(vramGB({ gpuRamMB })).toBe(gb);
});

test("the market's month has 720 hours", () => {
  expect(diskPricePerHour({ diskUsdPerGBMonth: 0.14933 }, 10)).toBeCloseTo(0.0020741, 6);
});
