/** Versions and delete markers. */
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
} from "@aws-sdk/client-s3";
import { describe, expect, test } from "vitest";
import { newBucket, put, read, refusal, type Subject } from "./subject.ts";

export function versions(subject: Subject): void {
  const { s3 } = subject;

  describe("versioning", () => {
    test("is off, on, or suspended", async () => {
      const Bucket = await newBucket(subject);
      const status = async () => (await s3.send(new GetBucketVersioningCommand({ Bucket }))).Status;
      expect(await status()).toBeUndefined();
      for (const Status of ["Enabled", "Suspended"] as const) {
        await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } }));
        expect(await status()).toBe(Status);
      }
    });

    test("keeps what is replaced, readable by its id", async () => {
      const Bucket = await newBucket(subject, { versioning: true });
      const { VersionId: first = "" } = await put(subject, Bucket, "x", "one");
      const { VersionId: second = "" } = await put(subject, Bucket, "x", "two");
      expect(first).not.toBe(second);
      expect(await read(subject, Bucket, "x")).toBe("two");
      expect(await read(subject, Bucket, "x", first)).toBe("one");
      const { Versions } = await s3.send(new ListObjectVersionsCommand({ Bucket }));
      expect(Versions?.map(({ VersionId, IsLatest }) => [VersionId, IsLatest])).toEqual([
        [second, true],
        [first, false],
      ]);
    });

    test("hides a deleted object behind a marker, and shows it again without", async () => {
      const Bucket = await newBucket(subject, { versioning: true });
      const { VersionId: first = "" } = await put(subject, Bucket, "x", "one");
      const gone = await s3.send(new DeleteObjectCommand({ Bucket, Key: "x" }));
      expect(gone).toMatchObject({ DeleteMarker: true, VersionId: expect.any(String) });
      expect(await refusal(s3.send(new GetObjectCommand({ Bucket, Key: "x" })))).toEqual({
        status: 404,
        code: "NoSuchKey",
      });
      expect((await s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount).toBe(0);
      expect(await read(subject, Bucket, "x", first)).toBe("one");
      const { DeleteMarkers } = await s3.send(new ListObjectVersionsCommand({ Bucket }));
      expect(DeleteMarkers).toMatchObject([{ Key: "x", VersionId: gone.VersionId, IsLatest: true }]);
      const marker = { Bucket, Key: "x", VersionId: gone.VersionId };
      expect((await refusal(s3.send(new HeadObjectCommand(marker)))).status).toBe(405);
      await s3.send(new DeleteObjectCommand(marker));
      expect(await read(subject, Bucket, "x")).toBe("one");
    });

    test("deletes one version for good, and the one before is the newest", async () => {
      const Bucket = await newBucket(subject, { versioning: true });
      const { VersionId: first = "" } = await put(subject, Bucket, "x", "one");
      const { VersionId: second } = await put(subject, Bucket, "x", "two");
      await s3.send(new DeleteObjectCommand({ Bucket, Key: "x", VersionId: second }));
      expect(await read(subject, Bucket, "x")).toBe("one");
      const Objects = [{ Key: "x", VersionId: first }];
      await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
      expect((await s3.send(new ListObjectVersionsCommand({ Bucket }))).Versions ?? []).toEqual([]);
    });

    test("has a null version of what was there before it", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", "before");
      await s3.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: "Enabled" } }));
      await put(subject, Bucket, "x", "after");
      expect(await read(subject, Bucket, "x", "null")).toBe("before");
      expect(await read(subject, Bucket, "x")).toBe("after");
    });

    test("counts a delete marker as no object for If-None-Match", async () => {
      const Bucket = await newBucket(subject, { versioning: true });
      await put(subject, Bucket, "x", "one");
      await s3.send(new DeleteObjectCommand({ Bucket, Key: "x" }));
      if (subject.differs("markers are objects")) {
        expect((await refusal(put(subject, Bucket, "x", "two", { IfNoneMatch: "*" }))).status).toBe(412);
        return;
      }
      await put(subject, Bucket, "x", "two", { IfNoneMatch: "*" });
      expect((await refusal(put(subject, Bucket, "x", "three", { IfNoneMatch: "*" }))).status).toBe(412);
      expect(await read(subject, Bucket, "x")).toBe("two");
    });

    test("lists versions page by page, with prefix", async () => {
      const Bucket = await newBucket(subject, { versioning: true });
      const made: [string, string][] = [];
      for (const key of ["a", "p/b", "p/c"])
        for (const text of ["1", "2"]) made.push([key, (await put(subject, Bucket, key, text)).VersionId ?? ""]);
      const wanted = [1, 0, 3, 2, 5, 4].map((index) => made[index]);
      const found: [string, string][] = [];
      let markers = {};
      for (let page = 0; page < 10; page++) {
        const answer = await s3.send(new ListObjectVersionsCommand({ Bucket, MaxKeys: 2, ...markers }));
        for (const { Key = "", VersionId = "" } of answer.Versions ?? []) found.push([Key, VersionId]);
        if (!answer.IsTruncated) break;
        markers = { KeyMarker: answer.NextKeyMarker, VersionIdMarker: answer.NextVersionIdMarker };
      }
      expect(found).toEqual(wanted);
      const below = await s3.send(new ListObjectVersionsCommand({ Bucket, Prefix: "p/" }));
      expect(below.Versions?.map(({ Key }) => Key)).toEqual(["p/b", "p/b", "p/c", "p/c"]);
    });

    test("says of a version that never was that it is not there", async () => {
      const Bucket = await newBucket(subject, { versioning: true });
      const { VersionId = "" } = await put(subject, Bucket, "x", "one");
      await s3.send(new DeleteObjectCommand({ Bucket, Key: "x", VersionId }));
      await put(subject, Bucket, "x", "two");
      expect((await refusal(s3.send(new GetObjectCommand({ Bucket, Key: "x", VersionId })))).status).toBe(404);
    });
  });
}
