/** Listings: order, prefix, delimiter, pages. */
import { ListObjectsCommand, ListObjectsV2Command, type ListObjectsV2CommandInput } from "@aws-sdk/client-s3";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { newBucket, put, refusal, type Subject } from "./subject.ts";

const KEYS = ["a.txt", "b/1", "b/2", "b/c/3", "b/c/4", "b0", "d/e/f", "z", "Ä", "日本", "🚀"];

export function listing(subject: Subject): void {
  const { s3 } = subject;
  let Bucket = "";
  const list = async (query: Partial<ListObjectsV2CommandInput> = {}) => {
    const answer = await s3.send(new ListObjectsV2Command({ Bucket, ...query }));
    return {
      keys: (answer.Contents ?? []).map(({ Key }) => Key),
      prefixes: (answer.CommonPrefixes ?? []).map(({ Prefix }) => Prefix),
      answer,
    };
  };
  /** All pages of a listing. */
  const pages = async (query: Partial<ListObjectsV2CommandInput>) => {
    const found = [];
    for (let token: string | undefined; ; ) {
      const page = await list({ ...query, ...(token ? { ContinuationToken: token } : {}) });
      found.push(page);
      if (!page.answer.IsTruncated) return found;
      token = page.answer.NextContinuationToken;
      if (found.length > 50) throw new Error("the pages do not end");
    }
  };

  beforeAll(async () => {
    Bucket = await newBucket(subject);
    for (const key of KEYS) await put(subject, Bucket, key, key);
  });

  describe("listings", () => {
    test("have all keys in the order of their bytes", async () => {
      expect((await list()).keys).toEqual(KEYS);
      expect((await list()).answer).toMatchObject({ KeyCount: KEYS.length, IsTruncated: false, Name: Bucket });
    });

    test("have sizes, times and ETags", async () => {
      const { answer } = await list({ Prefix: "a.txt" });
      expect(answer.Contents?.[0]).toMatchObject({ Key: "a.txt", Size: 5, StorageClass: "STANDARD" });
      expect(answer.Contents?.[0]?.ETag).toMatch(/^"[0-9a-f]{32}"$/);
      expect(answer.Contents?.[0]?.LastModified).toBeInstanceOf(Date);
    });

    test.each<[string, Partial<ListObjectsV2CommandInput>, string[], string[]]>([
      ["prefix", { Prefix: "b/" }, ["b/1", "b/2", "b/c/3", "b/c/4"], []],
      ["part of a name", { Prefix: "b" }, ["b/1", "b/2", "b/c/3", "b/c/4", "b0"], []],
      ["prefix of nothing", { Prefix: "nothing/" }, [], []],
      ["delimiter", { Delimiter: "/" }, ["a.txt", "b0", "z", "Ä", "日本", "🚀"], ["b/", "d/"]],
      ["prefix and delimiter", { Prefix: "b/", Delimiter: "/" }, ["b/1", "b/2"], ["b/c/"]],
      ["start", { StartAfter: "b/c/3" }, ["b/c/4", "b0", "d/e/f", "z", "Ä", "日本", "🚀"], []],
      ["start that is no key", { StartAfter: "c" }, ["d/e/f", "z", "Ä", "日本", "🚀"], []],
    ])("by %s", async (_, query, keys, prefixes) => {
      expect(await list(query)).toMatchObject({ keys, prefixes });
    });

    test.each([1, 2, 3, 7])("come in pages of %d, each key once", async (MaxKeys) => {
      const all = await pages({ MaxKeys });
      expect(all.flatMap(({ keys }) => keys)).toEqual(KEYS);
      expect(all.every(({ keys }) => keys.length <= MaxKeys)).toBe(true);
    });

    test.each([1, 2, 3])("with a delimiter come in pages of %d, each group once", async (MaxKeys) => {
      const all = await pages({ MaxKeys, Delimiter: "/" });
      expect(all.flatMap(({ keys }) => keys)).toEqual(["a.txt", "b0", "z", "Ä", "日本", "🚀"]);
      expect(all.flatMap(({ prefixes }) => prefixes)).toEqual(["b/", "d/"]);
    });

    test("of no keys at all are an answer", async () => {
      expect((await list({ MaxKeys: 0 })).answer).toMatchObject({ IsTruncated: false, KeyCount: 0 });
    });

    test("in the first form have a marker", async () => {
      const first = await s3.send(new ListObjectsCommand({ Bucket, MaxKeys: 3 }));
      expect(first.Contents?.map(({ Key }) => Key)).toEqual(KEYS.slice(0, 3));
      expect(first.IsTruncated).toBe(true);
      const rest = await s3.send(new ListObjectsCommand({ Bucket, Marker: "b/2" }));
      expect(rest.Contents?.map(({ Key }) => Key)).toEqual(KEYS.slice(3));
      const grouped = await s3.send(new ListObjectsCommand({ Bucket, Delimiter: "/", MaxKeys: 2 }));
      expect(grouped).toMatchObject({ IsTruncated: true, NextMarker: "b/" });
    });

    test("refuse what they cannot read", async () => {
      const encoded = await refusal(list({ EncodingType: "rot13" as "url" }));
      expect(encoded.status).toBe(subject.differs("no encoding-type") ? 200 : 400);
      expect((await refusal(list({ MaxKeys: -1 }))).status).toBe(400);
    });

    test("say what a simple model says, for any keys, prefix, delimiter and page", async () => {
      const letters = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 3 });
      const key = fc.array(letters, { minLength: 1, maxLength: 3 }).map((parts) => parts.join("/"));
      // No key lies below another: a file system could not hold it.
      const keys = fc
        .uniqueArray(key, { minLength: 1, maxLength: 12 })
        .map((list) => list.filter((one) => !list.some((other) => other !== one && other.startsWith(`${one}/`))));
      const query = fc.record({
        prefix: fc.constantFrom("", "a", "a/", "b/c", "b/c/"),
        delimiter: fc.constantFrom("", "/"),
        most: fc.integer({ min: 1, max: 5 }),
      });
      await fc.assert(
        fc.asyncProperty(keys, query, async (some, { prefix, delimiter, most }) => {
          Bucket = await newBucket(subject);
          for (const one of some) await put(subject, Bucket, one, "1");
          const all = await pages({ Prefix: prefix, MaxKeys: most, ...(delimiter && { Delimiter: delimiter }) });
          const below = some.filter((one) => one.startsWith(prefix)).sort();
          const groupOf = (one: string) => {
            const end = delimiter === "" ? -1 : one.indexOf(delimiter, prefix.length);
            return end === -1 ? undefined : one.slice(0, end + 1);
          };
          expect(all.flatMap((page) => page.keys)).toEqual(below.filter((one) => groupOf(one) === undefined));
          expect(all.flatMap((page) => page.prefixes)).toEqual([
            ...new Set(below.flatMap((one) => groupOf(one) ?? [])),
          ]);
        }),
        { numRuns: 15 },
      );
    });
  });
}
