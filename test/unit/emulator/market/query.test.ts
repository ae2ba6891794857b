import fc from "fast-check";
import { expect, test } from "vitest";
import { driverNumber, type Filter, matches, QueryError, sortRows } from "../../../../emulator/market/query.ts";

const row = {
  num_gpus: 4,
  dph_total: 0.48,
  gpu_ram: 24564,
  gpu_name: "RTX 4090",
  verification: "verified",
  external: null,
  rentable: true,
  geolocation: "Oslo, NO",
  driver_vers: 570124004,
  driver_version: "570.124.04",
  os_version: "22.04",
  label: null,
  cuda_max_good: 12.8,
};

const cases: [string, Filter, boolean][] = [
  ["compares numbers that come as texts", { num_gpus: { eq: "4" } }, true],
  ["does not compare them as texts", { dph_total: { lt: "0.5" }, gpu_ram: { gte: "9000" } }, true],
  ["ands several operators of a field", { num_gpus: { gte: 4, lte: 8 } }, true],
  ["fails when one operator of a field fails", { num_gpus: { gte: 2, lt: "4" } }, false],
  ["ands all fields", { num_gpus: { eq: 4 }, gpu_name: { eq: "RTX 3090" } }, false],
  ["takes an underscore for a blank", { gpu_name: { eq: "RTX_4090" } }, true],
  ["finds a name in a list", { gpu_name: { in: ["RTX_3090", "RTX 4090"] } }, true],
  ["leaves out what notin names", { gpu_name: { notin: ["RTX 4090"] } }, false],
  ["knows nin as notin", { gpu_name: { nin: ["RTX 3090"] } }, true],
  ["means the country code by geolocation", { geolocation: { eq: "NO" } }, true],
  ["finds the country code in a list", { geolocation: { in: ["US", "no"] } }, true],
  ["does not match the city as a country", { geolocation: { eq: "Oslo" } }, false],
  ["takes a null external for false", { external: { eq: false } }, true],
  ["takes a null external for not true", { external: { eq: true } }, false],
  ["looks at the verification for verified", { verified: { eq: true } }, true],
  ["accepts verified as a text", { verified: { eq: "true" } }, true],
  ["compares drivers by their number", { driver_version: { gte: 535086005 } }, true],
  ["compares drivers by their text", { driver_version: { gte: "580.65.06" } }, false],
  ["compares booleans", { rentable: { eq: "False" } }, false],
  ["finds a null by eq", { label: { eq: null } }, true],
  ["finds a null in a list", { label: { in: ["x", null] } }, true],
  ["leaves nulls out of comparisons", { label: { gt: 1 } }, false],
  ["takes a column that no row has for null", { unheard_of: { eq: null } }, true],
  ["does not find a value in a column that no row has", { unheard_of: { eq: 1 } }, false],
  ["does not match a number with a text that is none", { num_gpus: { eq: "" } }, false],
];

test.each(cases)("%s", (_, filter, expected) => {
  expect(matches(row, filter)).toBe(expected);
});

test("refuses an operator that is none", () => {
  expect(() => matches(row, { num_gpus: { like: 4 } })).toThrow(QueryError);
});

test("refuses a list operator without a list, and a filter without operators", () => {
  expect(() => matches(row, { num_gpus: { in: 4 } })).toThrow("needs a list");
  expect(() => matches(row, { num_gpus: 4 } as unknown as Filter)).toThrow("must be an object");
});

test("reads a driver version as one number", () => {
  expect(driverNumber("535.86.05")).toBe(535086005);
});

test("gives each operator and its opposite complementary answers for numbers", () => {
  const opposites = [
    ["eq", "neq"],
    ["lt", "gte"],
    ["gt", "lte"],
  ] as const;
  fc.assert(
    fc.property(fc.double({ noNaN: true }), fc.double({ noNaN: true }), fc.boolean(), (value, wanted, asText) => {
      const asked = asText ? String(wanted) : wanted;
      for (const [operator, opposite] of opposites) {
        expect(matches({ x: value }, { x: { [operator]: asked } })).toBe(
          !matches({ x: value }, { x: { [opposite]: asked } }),
        );
      }
    }),
  );
});

test("finds the same rows by a range as by its two halves", () => {
  const rows = fc.array(fc.record({ x: fc.integer({ min: 0, max: 20 }) }), { maxLength: 30 });
  fc.assert(
    fc.property(rows, fc.integer({ min: 0, max: 20 }), fc.integer({ min: 0, max: 20 }), (list, low, high) => {
      const whole = list.filter((one) => matches(one, { x: { gte: low, lte: String(high) } }));
      const halves = list
        .filter((one) => matches(one, { x: { gte: low } }))
        .filter((one) => matches(one, { x: { lte: high } }));
      expect(whole).toEqual(halves);
    }),
  );
});

test("sorts by several columns, nulls last in both directions, and keeps the order of equals", () => {
  const rows = [
    { id: 1, x: 2, y: null },
    { id: 2, x: 1, y: "b" },
    { id: 3, x: 2, y: "a" },
    { id: 4, x: 2, y: "a" },
  ];
  const ids = (order: [string, string][]) => sortRows(rows, order).map((one) => one.id);
  expect(
    ids([
      ["x", "desc"],
      ["y", "asc"],
    ]),
  ).toEqual([3, 4, 1, 2]);
  expect(ids([["y", "desc"]])).toEqual([2, 3, 4, 1]);
});
