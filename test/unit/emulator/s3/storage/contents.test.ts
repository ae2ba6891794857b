import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareKeys, createContents } from "../../../../../emulator/s3/storage/contents.ts";
import type { Change, Part } from "../../../../../emulator/s3/storage/types.ts";
import { version } from "../version.ts";

const description = version("x").description;
const upload = (id: string, key: string) => ({ id, key, started: 0, description, checksum: null, parts: [] });
const part = (number: number, file: string): Part => ({
  number,
  file,
  size: 1,
  etag: "e",
  modified: 0,
  checksum: undefined,
});

test("keys are in the order of their UTF-8 bytes", () => {
  fc.assert(
    fc.property(fc.string({ unit: "binary" }), fc.string({ unit: "binary" }), (a, b) => {
      expect(Math.sign(compareKeys(a, b))).toBe(Math.sign(Buffer.compare(Buffer.from(a), Buffer.from(b))));
    }),
  );
  expect(["\u{1f680}", "\uffee", "a"].sort(compareKeys)).toEqual(["a", "\uffee", "\u{1f680}"]);
});

test("a version of the same id takes the old one's place and frees its file", () => {
  const contents = createContents();
  expect(contents.apply({ do: "put", version: version("a", { pieces: [{ file: "1", size: 1 }] }) })).toEqual([]);
  expect(contents.apply({ do: "put", version: version("a", { pieces: [{ file: "2", size: 1 }] }) })).toEqual(["1"]);
  expect(contents.versions("a")).toHaveLength(1);
  expect(contents.apply({ do: "put", version: version("a", { id: "v2" }) })).toEqual([]);
  expect(contents.latest("a")?.id).toBe("v2");
  expect(contents.apply({ do: "remove", key: "a", id: "null" })).toEqual(["2"]);
  contents.apply({ do: "remove", key: "a", id: "v2" });
  expect(contents.keys).toEqual([]);
});

test("a change of tags keeps place and file", () => {
  const contents = createContents();
  contents.apply({ do: "put", version: version("a", { id: "v1" }) });
  contents.apply({ do: "put", version: version("a", { id: "v2" }) });
  const tagged = version("a", { id: "v1", description: { ...description, tags: { a: "1" } } });
  expect(contents.apply({ do: "amend", version: tagged })).toEqual([]);
  expect(contents.versions("a").map(({ id }) => id)).toEqual(["v2", "v1"]);
  expect(contents.find("a", "v1")?.description.tags).toEqual({ a: "1" });
});

test("an upload's parts become the object's pieces, and those left out are freed", () => {
  const contents = createContents();
  contents.apply({ do: "begin", upload: upload("u", "a") });
  for (const number of [3, 1, 2]) contents.apply({ do: "part", upload: "u", part: part(number, `p${number}`) });
  expect(contents.uploads.get("u")?.parts.map(({ number }) => number)).toEqual([1, 2, 3]);
  expect(contents.apply({ do: "part", upload: "u", part: part(2, "p2 again") })).toEqual(["p2"]);
  const pieces = ["p1", "p2 again"].map((file) => ({ file, size: 1 }));
  expect(contents.apply({ do: "put", version: version("a", { pieces }) })).toEqual([]);
  expect(contents.apply({ do: "end", upload: "u" })).toEqual(["p3"]);
  expect([...contents.files()].sort()).toEqual(["p1", "p2 again"]);
  expect(contents.apply({ do: "part", upload: "u", part: part(1, "late") })).toEqual(["late"]);
});

describe("after any changes", () => {
  const key = fc.constantFrom("a", "b", "c");
  const id = fc.constantFrom("null", "v1", "v2");
  let files = 0;
  const change: fc.Arbitrary<Change> = fc.oneof(
    fc.record({
      do: fc.constant("put" as const),
      version: fc
        .tuple(key, id, fc.boolean())
        .map(([k, i, isMarker]) =>
          version(k, { id: i, isMarker, pieces: isMarker ? [] : [{ file: `f${files++}`, size: 1 }] }),
        ),
    }),
    fc.record({ do: fc.constant("remove" as const), key, id }),
    fc.record({ do: fc.constant("begin" as const), upload: key.map((k) => upload(`u${k}`, k)) }),
    fc.record({
      do: fc.constant("part" as const),
      upload: key.map((k) => `u${k}`),
      part: fc.integer({ min: 1, max: 3 }).map((number) => part(number, `f${files++}`)),
    }),
    fc.record({ do: fc.constant("end" as const), upload: key.map((k) => `u${k}`) }),
  );

  test("the dump makes the same contents, and each file is either needed or was freed once", () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
        const contents = createContents();
        const begun = new Set<string>();
        const given = new Set<string>();
        const freed: string[] = [];
        for (const one of structuredClone(changes)) {
          if (one.do === "begin") {
            if (begun.has(one.upload.id) && contents.uploads.has(one.upload.id)) continue; // ids are never used twice
            begun.add(one.upload.id);
          }
          if (one.do === "put") for (const { file } of one.version.pieces) given.add(file);
          if (one.do === "part") given.add(one.part.file);
          freed.push(...contents.apply(one));
        }
        expect(new Set(freed).size).toBe(freed.length);
        expect(new Set([...freed, ...contents.files()])).toEqual(given);
        expect([...contents.keys]).toEqual([...contents.keys].sort(compareKeys));
        const again = createContents();
        for (const one of structuredClone(contents.dump())) again.apply(one);
        expect(again.dump()).toEqual(contents.dump());
        expect(again.keys).toEqual(contents.keys);
      }),
    );
  });
});
