/** What is in a bucket, against a simple model: order of keys, newest versions, files that nothing needs any more. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { compareKeys, createContents } from "../../../../../emulator/s3/storage/contents.ts";
import type { Change, Version } from "../../../../../emulator/s3/storage/types.ts";

const DESCRIPTION = { headers: {}, metadata: {}, tags: {}, storageClass: "STANDARD" };

function version(key: string, id: string, file: string | undefined): Version {
  return {
    key,
    id,
    isMarker: file === undefined,
    modified: 0,
    size: file === undefined ? 0 : 3,
    etag: "",
    pieces: file === undefined ? [] : [{ file, size: 3 }],
    description: DESCRIPTION,
    checksum: null,
  };
}

const key = fc.constantFrom("a", "a/b", "b", "é", "日", "\u{1f600}", "\uffff");
const id = fc.constantFrom("null", "1", "2", "3");
const upload = fc.constantFrom("u1", "u2");

/** Changes as the operations make them; files have a name each. */
const changes = fc
  .array(
    fc.oneof(
      fc.record({ do: fc.constant("put" as const), key, id, isMarker: fc.boolean() }),
      fc.record({ do: fc.constant("remove" as const), key, id }),
      fc.record({ do: fc.constant("begin" as const), upload, key }),
      fc.record({ do: fc.constant("part" as const), upload, number: fc.integer({ min: 1, max: 4 }) }),
      fc.record({ do: fc.constant("end" as const), upload }),
      fc.record({ do: fc.constant("complete" as const), upload, id }),
    ),
    { maxLength: 40 },
  )
  .map((wishes) => wishes.map((wish, at) => ({ ...wish, file: `f${at}` })));

type Wish = typeof changes extends fc.Arbitrary<(infer One)[]> ? One : never;

function play(contents: ReturnType<typeof createContents>, wish: Wish): string[] {
  const apply = (...list: Change[]) => list.flatMap(contents.apply);
  switch (wish.do) {
    case "put":
      return apply({ do: "put", version: version(wish.key, wish.id, wish.isMarker ? undefined : wish.file) });
    case "remove":
      return apply({ do: "remove", key: wish.key, id: wish.id });
    case "begin":
      // An upload's id is never used again while it lives.
      return contents.uploads.has(wish.upload)
        ? []
        : apply({
            do: "begin",
            upload: { id: wish.upload, key: wish.key, started: 0, description: DESCRIPTION, checksum: null, parts: [] },
          });
    case "part": {
      const part = { number: wish.number, file: wish.file, size: 5, etag: "", modified: 0, checksum: undefined };
      return apply({ do: "part", upload: wish.upload, part });
    }
    case "end":
      return apply({ do: "end", upload: wish.upload });
    case "complete": {
      const found = contents.uploads.get(wish.upload);
      const [first] = found?.parts ?? [];
      if (!found || !first) return [];
      // The first part only: the others' files belong to nobody from now on.
      const made = { ...version(found.key, wish.id, first.file), pieces: [{ file: first.file, size: 5, number: 1 }] };
      return apply({ do: "put", version: made }, { do: "end", upload: wish.upload });
    }
  }
}

describe("contents", () => {
  test("after any changes, a file is either needed or was given back, once", () => {
    fc.assert(
      fc.property(changes, (wishes) => {
        const contents = createContents();
        const written = new Set<string>();
        const gone: string[] = [];
        for (const wish of wishes) {
          gone.push(...play(contents, wish));
          for (const file of contents.files()) written.add(file);
        }
        const needed = contents.files();
        expect(new Set(gone).size).toBe(gone.length);
        for (const file of gone) expect(needed.has(file)).toBe(false);
        const kept = new Set([...needed, ...gone]);
        for (const file of written) expect(kept.has(file)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("what the log says makes the same contents again", () => {
    const look = (contents: ReturnType<typeof createContents>) => ({
      keys: [...contents.keys],
      versions: contents.keys.map((one) => contents.versions(one)),
      uploads: [...contents.uploads.values()],
      sizes: contents.sizes(),
    });
    fc.assert(
      fc.property(changes, (wishes) => {
        const contents = createContents();
        for (const wish of wishes) play(contents, wish);
        const again = createContents();
        for (const change of JSON.parse(JSON.stringify(contents.dump())) as Change[]) again.apply(change);
        expect(look(again)).toEqual(JSON.parse(JSON.stringify(look(contents))));
      }),
      { numRuns: 200 },
    );
  });

  test("keys are in the order of their UTF-8 bytes, and the newest version comes first", () => {
    fc.assert(
      fc.property(changes, (wishes) => {
        const contents = createContents();
        const model = new Map<string, string[]>();
        for (const wish of wishes.filter((one) => one.do !== "complete")) {
          play(contents, wish);
          if (wish.do === "put") {
            const others = (model.get(wish.key) ?? []).filter((one) => one !== wish.id);
            model.set(wish.key, [wish.id, ...others]);
          } else if (wish.do === "remove") {
            const left = (model.get(wish.key) ?? []).filter((one) => one !== wish.id);
            if (left.length > 0) model.set(wish.key, left);
            else model.delete(wish.key);
          }
        }
        const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(a), Buffer.from(b));
        expect(contents.keys).toEqual([...model.keys()].sort(byBytes));
        for (const [name, ids] of model) {
          expect(contents.versions(name).map((one) => one.id)).toEqual(ids);
          expect(contents.keys[contents.positionOf(name)]).toBe(name);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("any two keys compare as their bytes do", () => {
    const text = fc.string({ unit: "binary", maxLength: 6 });
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(Math.sign(compareKeys(a, b))).toBe(Buffer.compare(Buffer.from(a), Buffer.from(b)));
      }),
      { numRuns: 300 },
    );
  });
});
