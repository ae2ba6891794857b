import fc from "fast-check";
import { expect, test } from "vitest";
import { limitOf, type Order, pageOf, selectColumns } from "../../../../emulator/api/paging.ts";

type Numbered = { id: number; label: string | null };

function walk(rows: Numbered[], order: Order, limit: number): number[] {
  const seen: number[] = [];
  let token: string | null = null;
  do {
    const page: { rows: Numbered[]; nextToken: string | null } = pageOf(rows, order, limit, token);
    seen.push(...page.rows.map((row) => row.id));
    token = page.nextToken;
  } while (token !== null);
  return seen;
}

test("shows every row once in the wanted order, whatever the page size and ties", () => {
  const rows = fc.uniqueArray(
    fc.record({
      id: fc.integer({ min: 1, max: 500 }),
      label: fc.option(fc.constantFrom("a", "b", "c"), { nil: null }),
    }),
    { selector: (row) => row.id, maxLength: 60 },
  );
  const direction = fc.constantFrom("asc", "desc");
  fc.assert(
    fc.property(rows, fc.integer({ min: 1, max: 25 }), direction, direction, (list, limit, first, second) => {
      const order = [
        ["label", first],
        ["id", second],
      ] as const;
      const seen = walk(list, order, limit);
      expect(seen.length).toBe(list.length);
      expect(seen).toEqual(pageOf(list, order, 1000, null).rows.map((row) => row.id));
    }),
  );
});

test("goes on behind a row that has gone meanwhile", () => {
  const rows = [1, 2, 3, 4, 5].map((id) => ({ id, label: null }));
  const order = [["id", "asc"]] as const;
  const first = pageOf(rows, order, 2, null);
  const second = pageOf(
    rows.filter((row) => row.id !== 2),
    order,
    2,
    first.nextToken,
  );
  expect(second.rows.map((row) => row.id)).toEqual([3, 4]);
});

test("makes tokens as the market does: base64 of a JSON object with values", () => {
  const { nextToken } = pageOf([{ id: 1 }, { id: 2 }], [["id", "asc"]], 1, null);
  expect(JSON.parse(Buffer.from(nextToken ?? "", "base64").toString())).toEqual({ values: { id: 1 } });
});

test.each(["nonsense", "bnVsbA==", "e30="])("refuses the token %s", (token) => {
  expect(() => pageOf([{ id: 1 }], [["id", "asc"]], 1, token)).toThrow("invalid after_token");
});

test.each([
  [null, 25],
  ["", 25],
  ["10", 10],
  ["1000", 25],
  ["0", 5],
  ["-3", 5],
])("takes a limit of %s as %d", (text, limit) => {
  expect(limitOf(text, 25, 25)).toBe(limit);
});

test("gives unknown columns as null", () => {
  expect(selectColumns({ id: 1, x: 2 }, ["id", "nothing"])).toEqual({ id: 1, nothing: null });
  expect(selectColumns({ id: 1, x: 2 }, ["*"])).toEqual({ id: 1, x: 2 });
});
