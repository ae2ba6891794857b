/** Objects: what is put comes back, whole, in part, with all that was said about it. */
import { request as httpRequest } from "node:http";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketLocationCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsV2Command,
  PutObjectTaggingCommand,
} from "@aws-sdk/client-s3";
import { describe, expect, test } from "vitest";
import { send, sign } from "../../../helpers/sign-v4.ts";
import { bytesOf, md5, newBucket, noise, put, read, refusal, type Subject } from "./subject.ts";

export function objects(subject: Subject): void {
  const { s3 } = subject;

  describe("buckets", () => {
    test("are made, seen, found in the list, and deleted when they are empty", async () => {
      const Bucket = await newBucket(subject);
      expect((await s3.send(new HeadBucketCommand({ Bucket }))).$metadata.httpStatusCode).toBe(200);
      expect((await s3.send(new ListBucketsCommand({}))).Buckets?.map(({ Name }) => Name)).toContain(Bucket);
      await put(subject, Bucket, "a", "1");
      expect(await refusal(s3.send(new DeleteBucketCommand({ Bucket })))).toEqual({
        status: 409,
        code: "BucketNotEmpty",
      });
      await s3.send(new DeleteObjectCommand({ Bucket, Key: "a" }));
      await s3.send(new DeleteBucketCommand({ Bucket }));
      expect((await refusal(s3.send(new HeadBucketCommand({ Bucket })))).status).toBe(404);
      expect(await refusal(put(subject, Bucket, "a", "1"))).toEqual({ status: 404, code: "NoSuchBucket" });
    });

    test("are made once", async () => {
      const Bucket = await newBucket(subject);
      expect(await refusal(s3.send(new CreateBucketCommand({ Bucket })))).toEqual({
        status: 409,
        code: "BucketAlreadyOwnedByYou",
      });
    });

    test.each(["Upper", "a", "-a-", "1.2.3.4", "under_score"])("are not called %s", async (Bucket) => {
      expect((await refusal(s3.send(new CreateBucketCommand({ Bucket })))).status).toBe(400);
    });

    test("have no two dots in a row", async () => {
      const made = await refusal(s3.send(new CreateBucketCommand({ Bucket: "a..b" })));
      expect(made.status).toBe(subject.differs("dots in bucket names") ? 200 : 400);
    });

    test("say where they are: nothing means us-east-1", async () => {
      const Bucket = await newBucket(subject);
      expect((await s3.send(new GetBucketLocationCommand({ Bucket }))).LocationConstraint ?? "").toMatch(
        /^(us-east-1)?$/,
      );
    });
  });

  describe("objects", () => {
    test.each([0, 1, 5, 65_536, 3_000_000])("of %d bytes come back as they went", async (size) => {
      const Bucket = await newBucket(subject);
      const bytes = noise(size);
      const { ETag } = await put(subject, Bucket, "x", bytes);
      expect(ETag).toBe(`"${md5(bytes)}"`);
      const answer = await s3.send(new GetObjectCommand({ Bucket, Key: "x" }));
      expect((await bytesOf(answer.Body as Readable)).equals(bytes)).toBe(true);
      expect(answer).toMatchObject({ ContentLength: size, ETag });
      expect(Math.abs(Date.now() - (answer.LastModified?.getTime() ?? 0))).toBeLessThan(5000);
    });

    test("come from a stream", async () => {
      const Bucket = await newBucket(subject);
      const bytes = noise(200_000);
      const pieces = [bytes.subarray(0, 70_001), bytes.subarray(70_001)];
      await put(subject, Bucket, "x", Readable.from(pieces) as unknown as Buffer, { ContentLength: bytes.length });
      const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: "x" }));
      expect((await bytesOf(Body as Readable)).equals(bytes)).toBe(true);
    });

    test("keep what was said about them", async () => {
      const Bucket = await newBucket(subject);
      const said = {
        ContentType: "text/x-test; charset=utf-8",
        CacheControl: "max-age=5",
        ContentDisposition: 'attachment; filename="a.txt"',
        ContentEncoding: "identity",
        ContentLanguage: "de",
        Metadata: { color: "blue", "with-dash": "a b" },
      };
      await put(subject, Bucket, "x", "1", said);
      expect(await s3.send(new HeadObjectCommand({ Bucket, Key: "x" }))).toMatchObject({ ...said, ContentLength: 1 });
      expect(await s3.send(new GetObjectCommand({ Bucket, Key: "x" }))).toMatchObject(said);
    });

    test("have no type but binary/octet-stream when none was given", async () => {
      const Bucket = await newBucket(subject);
      await send(subject.store, { method: "PUT", path: `/${Bucket}/x`, body: "1" });
      expect((await s3.send(new HeadObjectCommand({ Bucket, Key: "x" }))).ContentType).toBe("binary/octet-stream");
    });

    test("that are not there are NoSuchKey, and a bare 404 to HEAD", async () => {
      const Bucket = await newBucket(subject);
      expect(await refusal(s3.send(new GetObjectCommand({ Bucket, Key: "no" })))).toEqual({
        status: 404,
        code: "NoSuchKey",
      });
      expect(await refusal(s3.send(new HeadObjectCommand({ Bucket, Key: "no" })))).toEqual({
        status: 404,
        code: "NotFound",
      });
      expect((await s3.send(new DeleteObjectCommand({ Bucket, Key: "no" }))).$metadata.httpStatusCode).toBe(204);
    });

    test("are replaced whole", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", "first", { Metadata: { a: "1" } });
      await put(subject, Bucket, "x", "second");
      expect(await read(subject, Bucket, "x")).toBe("second");
      expect((await s3.send(new HeadObjectCommand({ Bucket, Key: "x" }))).Metadata ?? {}).toEqual({});
    });

    test.each([
      "plain",
      "with space",
      "plus+plus",
      "ünïcödé/日本/🚀",
      "percent%2Fslash%20",
      "a/b/c/d",
      "quotes'\"<>&;",
      "star*(paren)!~",
      "=eq&amp;?q=1#hash",
      "back\\slash",
      "colon:semi;comma,at@dollar$",
      ".hidden",
    ])("are called %s", async (Key) => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, Key, Key);
      expect(await read(subject, Bucket, Key)).toBe(Key);
      const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket }));
      expect(Contents?.map((one) => one.Key)).toEqual([Key]);
      const encoded = await s3.send(new ListObjectsV2Command({ Bucket, EncodingType: "url" }));
      if (subject.differs("no encoding-type")) expect(encoded.Contents?.[0]?.Key).toBe(Key);
      else expect(decodeURIComponent((encoded.Contents?.[0]?.Key ?? "").replaceAll("+", "%20"))).toBe(Key);
      await s3.send(new DeleteObjectCommand({ Bucket, Key }));
      expect((await s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount).toBe(0);
    });

    test("have keys that are no paths: dots, double slashes, and one object below another", async () => {
      const Bucket = await newBucket(subject);
      const keys = ["a", "a/b", "a//b", "a/../b", "./c", "folder/", "/lead", "x".repeat(1024)];
      if (subject.differs("keys are paths")) {
        await put(subject, Bucket, "a", "1");
        expect((await refusal(put(subject, Bucket, "a/b", "1"))).status).not.toBe(200);
        expect((await refusal(put(subject, Bucket, "a/../../b", "1"))).status).not.toBe(200);
        return;
      }
      for (const key of keys) await put(subject, Bucket, key, key);
      for (const key of keys) expect(await read(subject, Bucket, key)).toBe(key);
      const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket }));
      expect(Contents?.map((one) => one.Key)).toEqual(keys.toSorted());
    });

    test("have keys of at most 1024 bytes", async () => {
      const Bucket = await newBucket(subject);
      expect((await refusal(put(subject, Bucket, "x/".repeat(513), "1"))).status).toBe(400);
    });
  });

  describe("ranges", () => {
    const cases: [string, string, string | undefined][] = [
      ["bytes=0-0", "0", "bytes 0-0/10"],
      ["bytes=2-4", "234", "bytes 2-4/10"],
      ["bytes=7-", "789", "bytes 7-9/10"],
      ["bytes=-3", "789", "bytes 7-9/10"],
      ["bytes=5-99", "56789", "bytes 5-9/10"],
      ["bytes=-99", "0123456789", "bytes 0-9/10"],
    ];
    test.each(cases)("%s gives %s", async (Range, text, ContentRange) => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", "0123456789");
      const answer = await s3.send(new GetObjectCommand({ Bucket, Key: "x", Range }));
      expect((await bytesOf(answer.Body as Readable)).toString()).toBe(text);
      expect(answer).toMatchObject({ ContentRange, ContentLength: text.length, AcceptRanges: "bytes" });
      expect(answer.$metadata.httpStatusCode).toBe(206);
      expect(await s3.send(new HeadObjectCommand({ Bucket, Key: "x", Range }))).toMatchObject({
        ContentLength: text.length,
      });
    });

    test("outside of the object are refused", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", "0123456789");
      expect(await refusal(s3.send(new GetObjectCommand({ Bucket, Key: "x", Range: "bytes=10-" })))).toEqual({
        status: 416,
        code: "InvalidRange",
      });
    });

    test("that make no sense are ignored", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", "0123456789");
      const answer = await s3.send(new GetObjectCommand({ Bucket, Key: "x", Range: "lines=1-2" }));
      expect((await bytesOf(answer.Body as Readable)).toString()).toBe("0123456789");
    });
  });

  describe("deleting many", () => {
    test("removes them all and says so, those that were not there too", async () => {
      const Bucket = await newBucket(subject);
      for (const key of ["a", "b", "c"]) await put(subject, Bucket, key, "1");
      const Objects = ["a", "b", "never"].map((Key) => ({ Key }));
      const { Deleted, Errors } = await s3.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
      expect(Deleted?.map(({ Key }) => Key).sort()).toEqual(["a", "b", "never"]);
      expect(Errors ?? []).toEqual([]);
      const { Contents } = await s3.send(new ListObjectsV2Command({ Bucket }));
      expect(Contents?.map(({ Key }) => Key)).toEqual(["c"]);
    });

    test("is quiet when asked to be", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "a&<b>", "1");
      const Delete = { Objects: [{ Key: "a&<b>" }], Quiet: true };
      const { Deleted = [] } = await s3.send(new DeleteObjectsCommand({ Bucket, Delete }));
      expect(Deleted).toHaveLength(subject.differs("never quiet") ? 1 : 0);
      expect((await s3.send(new ListObjectsV2Command({ Bucket }))).KeyCount).toBe(0);
    });
  });

  describe("tags", () => {
    test("come with the object or later, and go", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", "1", { Tagging: "a=1&b=two%20words" });
      const tags = async () => (await s3.send(new GetObjectTaggingCommand({ Bucket, Key: "x" }))).TagSet ?? [];
      const byKey = (list: { Key?: string | undefined; Value?: string | undefined }[]) =>
        Object.fromEntries(list.map(({ Key, Value }) => [Key, Value]));
      expect(byKey(await tags())).toEqual({ a: "1", b: "two words" });
      const TagSet = [{ Key: "c", Value: "1+2 = ü/3" }];
      await s3.send(new PutObjectTaggingCommand({ Bucket, Key: "x", Tagging: { TagSet } }));
      expect(byKey(await tags())).toEqual({ c: "1+2 = ü/3" });
      const wrong = { TagSet: [{ Key: "c", Value: "<&>" }] };
      const answer = await refusal(s3.send(new PutObjectTaggingCommand({ Bucket, Key: "x", Tagging: wrong })));
      expect(answer).toEqual({ status: 400, code: "InvalidTag" });
      expect(await read(subject, Bucket, "x")).toBe("1");
    });
  });

  test("a body that ends too early leaves nothing", async () => {
    const Bucket = await newBucket(subject);
    await cutUpload(subject, Bucket);
    const look = () => refusal(s3.send(new HeadObjectCommand({ Bucket, Key: "cut" })));
    const wanted = subject.differs("keeps cut bodies") ? 200 : 404;
    for (let tries = 0; tries < 50 && (await look()).status !== wanted; tries++) await delay(100);
    expect((await look()).status).toBe(wanted);
  });
}

/** Sends half of what it says and hangs up; resolves when the connection is gone. */
async function cutUpload({ store }: Subject, bucket: string): Promise<void> {
  const length = { "content-length": "100000" };
  const request = { method: "PUT", path: `/${bucket}/cut`, payload: "UNSIGNED-PAYLOAD", headers: length };
  const { url, headers } = sign(store, request);
  await new Promise<void>((done) => {
    const upload = httpRequest(url, { method: "PUT", headers });
    upload.on("error", () => done());
    upload.on("close", () => done());
    upload.write(noise(50_000), () => upload.destroy());
  });
}
