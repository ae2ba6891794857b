import fc from "fast-check";
import { expect, test } from "vitest";
import {
  canonicalJson,
  formatLabel,
  hashValue,
  newNonce,
  parseLabel,
  requestHashOf,
  scopeOf,
} from "../../../../infra/vast/label.ts";

const lower = fc.stringMatching(/^[a-z0-9]{1,12}$/);
const name = fc.stringMatching(/^[A-Za-z0-9_.-]{1,20}$/);

test("a label is read back as it was written", () => {
  fc.assert(
    fc.property(fc.record({ scope: lower, name, requestHash: lower, nonce: lower }), (label) => {
      expect(parseLabel(formatLabel(label))).toEqual(label);
    }),
  );
});

test("a real one has a length that is proven safe on the market", () => {
  const uid = "0123456789abcdef01234567";
  const scope = scopeOf({ organization: "organization", project: "vastlane", stack: "a-long-stack-name", uid });
  const text = formatLabel({ scope, name: "node63", requestHash: hashValue({}), nonce: newNonce() });
  expect(text.length).toBeLessThanOrEqual(60);
});

test.each(["my machine", "a:b", "", "ü", "a\nb"])(
  "a name that could not be read back is refused before anything is rented: %j",
  (bad) => {
    expect(() => formatLabel({ scope: "s", name: bad, requestHash: "h", nonce: "n" })).toThrow(/^internal: the label/);
  },
);

test.each([
  null,
  undefined,
  "",
  "train-1",
  "vl1:a:b:c",
  "vl1:a:b:c:d:e",
  "vl2:a:b:c:d",
  " vl1:a:b:c:d",
  "vl1:A:b:c:d",
  "vl1:a:b c:c:d",
  "vl1:a:b:c:d\n",
])("%j is nobody's label", (text) => {
  expect(parseLabel(text)).toBeUndefined();
});

test("any text is read without a fault", () => {
  fc.assert(
    fc.property(fc.string(), (text) => {
      const label = parseLabel(text);
      if (label) expect(formatLabel(label)).toBe(text);
    }),
  );
});

test("JSON in one order, whatever the order of the keys, at every depth", () => {
  expect(canonicalJson({ b: 1, a: { d: [{ z: 1, y: 2 }], c: null } })).toBe(
    '{"a":{"c":null,"d":[{"y":2,"z":1}]},"b":1}',
  );
  expect(canonicalJson({ a: undefined, b: 1 })).toBe('{"b":1}');
});

test("equal JSON values have equal text and hash, and only those", () => {
  const shuffledKeys = (value: unknown): unknown =>
    Array.isArray(value)
      ? value.map(shuffledKeys)
      : value && typeof value === "object"
        ? Object.fromEntries(
            Object.entries(value)
              .reverse()
              .map(([key, inner]) => [key, shuffledKeys(inner)]),
          )
        : value;
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      // -0 is 0 in JSON.
      const plain = JSON.parse(JSON.stringify(value));
      expect(canonicalJson(shuffledKeys(plain))).toBe(canonicalJson(plain));
      expect(JSON.parse(canonicalJson(plain))).toEqual(plain);
      expect(hashValue(shuffledKeys(plain))).toBe(hashValue(plain));
    }),
  );
});

test("a scope differs with everything that makes a stack another one", () => {
  const stack = { organization: "o", project: "p", stack: "s", uid: "u" };
  const scopes = [stack, ...Object.keys(stack).map((key) => ({ ...stack, [key]: "x" }))].map(scopeOf);
  expect(new Set(scopes).size).toBe(5);
  expect(scopeOf({ ...stack })).toBe(scopeOf(stack));
  expect(scopeOf(stack)).toMatch(/^[a-z0-9]{12}$/);
});

test("the request's hash covers what cannot be changed on a rented machine, and nothing else", () => {
  const request = { image: "ubuntu", diskGB: 40, env: { A: "b" }, type: "interruptible" };
  const hash = requestHashOf(request);
  expect(requestHashOf({ ...request, maxPricePerHour: 2 } as typeof request)).toBe(hash);
  for (const changes of [{ image: "debian" }, { diskGB: 50 }, { env: { A: "c" } }, { type: "on-demand" }])
    expect(requestHashOf({ ...request, ...changes })).not.toBe(hash);
});

test("every nonce is another one", () => {
  expect(new Set(Array.from({ length: 100 }, newNonce)).size).toBe(100);
  expect(newNonce()).toMatch(/^[a-z0-9]{10}$/);
});
