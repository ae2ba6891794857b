/** Conditional requests: reads that save a transfer, and writes of which one of many wins. */
import {
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { describe, expect, test } from "vitest";
import { newBucket, put, read, refusal, type Subject } from "./subject.ts";

const RACERS = 64;
const FAILED = { status: 412, code: "PreconditionFailed" };

export function conditions(subject: Subject): void {
  const { s3 } = subject;

  describe("conditional reads", () => {
    test("by ETag and by time", async () => {
      const Bucket = await newBucket(subject);
      const { ETag } = await put(subject, Bucket, "x", "1");
      const get = (more: object) => refusal(s3.send(new GetObjectCommand({ Bucket, Key: "x", ...more })));
      const [before, after] = [new Date(Date.now() - 60_000), new Date(Date.now() + 60_000)];
      expect(await get({ IfMatch: ETag })).toEqual({ status: 200 });
      expect(await get({ IfMatch: '"other"' })).toEqual(FAILED);
      expect((await get({ IfNoneMatch: ETag })).status).toBe(304);
      expect(await get({ IfNoneMatch: '"other"' })).toEqual({ status: 200 });
      expect(await get({ IfModifiedSince: before })).toEqual({ status: 200 });
      expect(await get({ IfUnmodifiedSince: after })).toEqual({ status: 200 });
      expect(await get({ IfUnmodifiedSince: before })).toEqual(FAILED);
      expect(await get({ IfMatch: ETag, IfUnmodifiedSince: before })).toEqual({ status: 200 });
      const head = (more: object) => refusal(s3.send(new HeadObjectCommand({ Bucket, Key: "x", ...more })));
      expect((await head({ IfMatch: '"other"' })).status).toBe(412);
      expect((await head({ IfNoneMatch: ETag })).status).toBe(304);
    });
  });

  describe("conditional writes", () => {
    test("If-None-Match: * makes an object only where there is none", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", "1", { IfNoneMatch: "*" });
      expect(await refusal(put(subject, Bucket, "x", "2", { IfNoneMatch: "*" }))).toEqual(FAILED);
      expect(await read(subject, Bucket, "x")).toBe("1");
      await s3.send(new DeleteObjectCommand({ Bucket, Key: "x" }));
      await put(subject, Bucket, "x", "3", { IfNoneMatch: "*" });
      expect(await read(subject, Bucket, "x")).toBe("3");
    });

    test("If-Match replaces only what one has seen", async () => {
      const Bucket = await newBucket(subject);
      const { ETag: first } = await put(subject, Bucket, "x", "1");
      const { ETag: second } = await put(subject, Bucket, "x", "2", { IfMatch: first });
      expect(await refusal(put(subject, Bucket, "x", "3", { IfMatch: first }))).toEqual(FAILED);
      expect(await refusal(put(subject, Bucket, "x", "4", { IfMatch: second }))).toEqual({ status: 200 });
      expect(await read(subject, Bucket, "x")).toBe("4");
    });

    test("If-Match on nothing is NoSuchKey", async () => {
      const Bucket = await newBucket(subject);
      expect(await refusal(put(subject, Bucket, "x", "1", { IfMatch: '"abc"' }))).toEqual({
        status: 404,
        code: "NoSuchKey",
      });
    });

    test(`one of ${RACERS} makes an object`, async () => {
      const Bucket = await newBucket(subject);
      const results = await Promise.all(
        Array.from({ length: RACERS }, (_, racer) =>
          refusal(put(subject, Bucket, "x", `racer ${racer}`, { IfNoneMatch: "*" })),
        ),
      );
      const winners = results.flatMap(({ status }, racer) => (status === 200 ? [racer] : []));
      expect(winners).toHaveLength(1);
      expect(await read(subject, Bucket, "x")).toBe(`racer ${winners[0]}`);
    });

    test(`of ${RACERS} that count with compare-and-swap, no count is lost`, async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "count", "0");
      const count = async () => {
        for (;;) {
          const answer = await s3.send(new GetObjectCommand({ Bucket, Key: "count" }));
          const next = Number(await answer.Body?.transformToString()) + 1;
          const more = { IfMatch: answer.ETag };
          if ((await refusal(put(subject, Bucket, "count", String(next), more))).status === 200) return;
        }
      };
      await Promise.all(Array.from({ length: RACERS }, count));
      expect(await read(subject, Bucket, "count")).toBe(String(RACERS));
    });

    test("hold for multipart uploads when they are completed", async () => {
      const Bucket = await newBucket(subject);
      const complete = async (more: object) => {
        const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ Bucket, Key: "x" }));
        const part = { Bucket, Key: "x", UploadId, PartNumber: 1, Body: "part" };
        const { ETag } = await s3.send(new UploadPartCommand(part));
        const MultipartUpload = { Parts: [{ PartNumber: 1, ETag }] };
        return refusal(
          s3.send(new CompleteMultipartUploadCommand({ Bucket, Key: "x", UploadId, MultipartUpload, ...more })),
        );
      };
      expect(await complete({ IfNoneMatch: "*" })).toEqual({ status: 200 });
      expect(await complete({ IfNoneMatch: "*" })).toEqual(FAILED);
      expect(await complete({ IfMatch: '"other"' })).toEqual(FAILED);
      const { ETag } = await s3.send(new HeadObjectCommand({ Bucket, Key: "x" }));
      expect(await complete({ IfMatch: ETag })).toEqual({ status: 200 });
    });

    test("hold for deletes", async () => {
      const Bucket = await newBucket(subject);
      const remove = (more: object) => refusal(s3.send(new DeleteObjectCommand({ Bucket, Key: "x", ...more })));
      const { ETag } = await put(subject, Bucket, "x", "1");
      expect(await remove({ IfMatch: '"other"' })).toEqual(FAILED);
      expect(await read(subject, Bucket, "x")).toBe("1");
      expect(await remove({ IfMatch: ETag })).toEqual({ status: 200 });
      expect((await refusal(s3.send(new HeadObjectCommand({ Bucket, Key: "x" })))).status).toBe(404);
      expect((await remove({ IfMatch: ETag })).status).toBe(subject.differs("deletes are not atomic") ? 200 : 404);
    });

    test(`one of ${RACERS} deletes with If-Match while others write`, async () => {
      const Bucket = await newBucket(subject);
      const { ETag } = await put(subject, Bucket, "x", "seen");
      const results = await Promise.all(
        Array.from({ length: RACERS }, (_, racer) =>
          racer % 2 === 0
            ? refusal(s3.send(new DeleteObjectCommand({ Bucket, Key: "x", IfMatch: ETag })))
            : refusal(put(subject, Bucket, "x", `racer ${racer}`, { IfMatch: ETag })),
        ),
      );
      const winners = results.filter(({ status }) => status === 200).length;
      if (subject.differs("deletes are not atomic")) expect(winners).toBeGreaterThan(0);
      else expect(winners).toBe(1);
    });

    test("hold for the source of a copy", async () => {
      const Bucket = await newBucket(subject);
      const { ETag } = await put(subject, Bucket, "from", "1");
      const copy = (more: object) =>
        refusal(s3.send(new CopyObjectCommand({ Bucket, Key: "to", CopySource: `${Bucket}/from`, ...more })));
      expect(await copy({ CopySourceIfMatch: '"other"' })).toEqual(FAILED);
      const unchanged = await copy({ CopySourceIfNoneMatch: ETag });
      expect(unchanged.status).toBe(subject.differs("304 to copies") ? 304 : 412);
      expect(await copy({ CopySourceIfMatch: ETag })).toEqual({ status: 200 });
    });
  });
}
