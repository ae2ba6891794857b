/** Multipart uploads, from the first part to the last word, and copies made by the store. */
import type { Readable } from "node:stream";
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  UploadPartCommand,
  UploadPartCopyCommand,
} from "@aws-sdk/client-s3";
import { describe, expect, test } from "vitest";
import { bytesOf, MiB, md5, newBucket, noise, put, read, refusal, type Subject } from "./subject.ts";

export function multipart(subject: Subject): void {
  const { s3 } = subject;

  async function begin(Bucket: string, Key: string, more = {}): Promise<string> {
    const { UploadId = "" } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key, ...more }));
    return UploadId;
  }

  async function part(Bucket: string, Key: string, UploadId: string, PartNumber: number, Body: Buffer | string) {
    const { ETag } = await s3.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }));
    return { PartNumber, ETag };
  }

  const complete = (
    Bucket: string,
    Key: string,
    UploadId: string,
    Parts: { PartNumber: number; ETag?: string | undefined }[],
  ) => s3.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }));

  describe("multipart uploads", () => {
    test("join their parts by number, whatever order they came in", async () => {
      const Bucket = await newBucket(subject);
      const [first, second, third] = [noise(5 * MiB), noise(6 * MiB), noise(1000)];
      const said = { ContentType: "text/plain", Metadata: { a: "b" } };
      const id = await begin(Bucket, "dir/x", said);
      const parts = [
        await part(Bucket, "dir/x", id, 7, third),
        await part(Bucket, "dir/x", id, 1, first),
        await part(Bucket, "dir/x", id, 3, second),
      ].sort((a, b) => a.PartNumber - b.PartNumber);
      const { ETag } = await complete(Bucket, "dir/x", id, parts);
      const sums = [first, second, third].map((bytes) => Buffer.from(md5(bytes), "hex"));
      expect(ETag).toBe(`"${md5(Buffer.concat(sums))}-3"`);
      const answer = await s3.send(new GetObjectCommand({ Bucket, Key: "dir/x" }));
      expect((await bytesOf(answer.Body as Readable)).equals(Buffer.concat([first, second, third]))).toBe(true);
      expect(answer).toMatchObject({ ...said, ETag });
      const Range = `bytes=${5 * MiB - 10}-${5 * MiB + 9}`;
      const over = await s3.send(new GetObjectCommand({ Bucket, Key: "dir/x", Range }));
      const wanted = Buffer.concat([first.subarray(-10), second.subarray(0, 10)]);
      expect((await bytesOf(over.Body as Readable)).equals(wanted)).toBe(true);
    });

    test("are not seen before they are complete, and leave nothing when aborted", async () => {
      const Bucket = await newBucket(subject);
      const id = await begin(Bucket, "x");
      const done = await part(Bucket, "x", id, 1, "one");
      expect((await refusal(s3.send(new HeadObjectCommand({ Bucket, Key: "x" })))).status).toBe(404);
      await s3.send(new AbortMultipartUploadCommand({ Bucket, Key: "x", UploadId: id }));
      expect(await refusal(complete(Bucket, "x", id, [done]))).toEqual({ status: 404, code: "NoSuchUpload" });
      expect(await refusal(part(Bucket, "x", id, 2, "two"))).toEqual({ status: 404, code: "NoSuchUpload" });
      expect((await s3.send(new ListMultipartUploadsCommand({ Bucket }))).Uploads ?? []).toEqual([]);
    });

    test("take a part again in place of the first one", async () => {
      const Bucket = await newBucket(subject);
      const id = await begin(Bucket, "x");
      await part(Bucket, "x", id, 1, "first");
      const again = await part(Bucket, "x", id, 1, "again");
      await complete(Bucket, "x", id, [again]);
      expect(await read(subject, Bucket, "x")).toBe("again");
    });

    test("can leave parts out", async () => {
      const Bucket = await newBucket(subject);
      const id = await begin(Bucket, "x");
      await part(Bucket, "x", id, 1, "left out");
      const kept = await part(Bucket, "x", id, 2, "kept");
      await complete(Bucket, "x", id, [kept]);
      expect(await read(subject, Bucket, "x")).toBe("kept");
    });

    test("are refused with wrong parts, in a wrong order, or with small parts in the middle", async () => {
      const Bucket = await newBucket(subject);
      const id = await begin(Bucket, "x");
      const [one, two] = [await part(Bucket, "x", id, 1, "1"), await part(Bucket, "x", id, 2, noise(5 * MiB))];
      const done = (parts: { PartNumber: number; ETag?: string | undefined }[]) =>
        refusal(complete(Bucket, "x", id, parts));
      expect(await done([two, one])).toEqual({ status: 400, code: "InvalidPartOrder" });
      expect(await done([{ ...one, ETag: two.ETag }])).toEqual({ status: 400, code: "InvalidPart" });
      expect(await done([one, { ...two, PartNumber: 9 }])).toMatchObject({ status: 400 });
      expect(await done([one, two])).toEqual({ status: 400, code: "EntityTooSmall" });
      expect(await done([])).toMatchObject({ status: 400 });
      expect(await done([one])).toEqual({ status: 200 });
    });

    test("list their parts, page by page", async () => {
      const Bucket = await newBucket(subject);
      const id = await begin(Bucket, "x");
      for (const number of [1, 2, 5]) await part(Bucket, "x", id, number, "p".repeat(number));
      const at = { Bucket, Key: "x", UploadId: id };
      const first = await s3.send(new ListPartsCommand({ ...at, MaxParts: 2 }));
      expect(first.Parts?.map(({ PartNumber, Size }) => [PartNumber, Size])).toEqual([
        [1, 1],
        [2, 2],
      ]);
      expect(first.IsTruncated).toBe(true);
      const rest = await s3.send(new ListPartsCommand({ ...at, PartNumberMarker: first.NextPartNumberMarker }));
      expect(rest.Parts?.map(({ PartNumber, ETag }) => [PartNumber, ETag])).toEqual([[5, `"${md5("ppppp")}"`]]);
      expect(rest.IsTruncated).toBe(false);
    });

    test("are listed by key and prefix", async () => {
      const Bucket = await newBucket(subject);
      const ids = new Map<string, string>();
      for (const key of ["b", "dir/a", "dir/c"]) ids.set(key, await begin(Bucket, key));
      const all = await s3.send(new ListMultipartUploadsCommand({ Bucket }));
      expect(all.Uploads?.map(({ Key, UploadId }) => [Key, UploadId])).toEqual([...ids]);
      const below = await s3.send(new ListMultipartUploadsCommand({ Bucket, Prefix: "dir/" }));
      expect(below.Uploads?.map(({ Key }) => Key)).toEqual(["dir/a", "dir/c"]);
    });

    test("refuse parts beyond 10000", async () => {
      const Bucket = await newBucket(subject);
      const id = await begin(Bucket, "x");
      expect((await refusal(part(Bucket, "x", id, 10_001, "1"))).status).toBe(400);
    });

    test("take parts from objects that are there", async () => {
      const Bucket = await newBucket(subject);
      const bytes = noise(6 * MiB);
      await put(subject, Bucket, "from", bytes);
      const id = await begin(Bucket, "x");
      const copy = { Bucket, Key: "x", UploadId: id, CopySource: `${Bucket}/from` };
      const ranged = { ...copy, PartNumber: 1, CopySourceRange: `bytes=0-${5 * MiB - 1}` };
      const one = await s3.send(new UploadPartCopyCommand(ranged));
      const two = await s3.send(new UploadPartCopyCommand({ ...copy, PartNumber: 2 }));
      await complete(Bucket, "x", id, [
        { PartNumber: 1, ETag: one.CopyPartResult?.ETag },
        { PartNumber: 2, ETag: two.CopyPartResult?.ETag },
      ]);
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: "x" }));
      const wanted = Buffer.concat([bytes.subarray(0, 5 * MiB), bytes]);
      expect((await bytesOf(Body as Readable)).equals(wanted)).toBe(true);
    });
  });

  describe("copies", () => {
    test("take bytes and what was said, or say something new", async () => {
      const Bucket = await newBucket(subject);
      const Other = await newBucket(subject);
      const Key = "spa ce/ü+.txt";
      await put(subject, Bucket, Key, "text", { ContentType: "text/a", Metadata: { a: "1" } });
      const CopySource = `${Bucket}/${encodeURIComponent(Key)}`;
      const { CopyObjectResult } = await s3.send(new CopyObjectCommand({ Bucket: Other, Key: "same", CopySource }));
      expect(CopyObjectResult?.ETag).toBe(`"${md5("text")}"`);
      expect(await read(subject, Other, "same")).toBe("text");
      const head = (key: string) => s3.send(new HeadObjectCommand({ Bucket: Other, Key: key }));
      expect(await head("same")).toMatchObject({ ContentType: "text/a", Metadata: { a: "1" } });
      const changed = { MetadataDirective: "REPLACE", ContentType: "text/b", Metadata: { b: "2" } } as const;
      await s3.send(new CopyObjectCommand({ Bucket: Other, Key: "new", CopySource, ...changed }));
      expect(await head("new")).toMatchObject({ ContentType: "text/b", Metadata: { b: "2" } });
    });

    test("onto themselves must change something", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", "1", { Metadata: { a: "1" } });
      const same = { Bucket, Key: "x", CopySource: `${Bucket}/x` };
      expect(await refusal(s3.send(new CopyObjectCommand(same)))).toEqual({ status: 400, code: "InvalidRequest" });
      const changed = { ...same, MetadataDirective: "REPLACE", Metadata: { a: "2" } } as const;
      await s3.send(new CopyObjectCommand(changed));
      expect((await s3.send(new HeadObjectCommand({ Bucket, Key: "x" }))).Metadata).toEqual({ a: "2" });
      expect(await read(subject, Bucket, "x")).toBe("1");
    });

    test("of nothing are NoSuchKey", async () => {
      const Bucket = await newBucket(subject);
      const copy = new CopyObjectCommand({ Bucket, Key: "x", CopySource: `${Bucket}/no` });
      expect(await refusal(s3.send(copy))).toEqual({ status: 404, code: "NoSuchKey" });
    });
  });
}
