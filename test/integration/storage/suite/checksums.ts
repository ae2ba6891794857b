/** Checksums that travel with the bytes: checked on the way in, kept, and given back when they are asked for. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import {
  type ChecksumAlgorithm,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  UploadPartCommand,
} from "@aws-sdk/client-s3";
import { describe, expect, test } from "vitest";
import { send } from "../../../helpers/sign-v4.ts";
import { MiB, md5, newBucket, noise, put, type Subject } from "./subject.ts";

/** Of `123456789`: the check values of the catalogue of CRCs, and hashes. */
const TEXT = "123456789";
const KNOWN = {
  CRC32: hex("cbf43926"),
  CRC32C: hex("e3069283"),
  CRC64NVME: hex("ae8b14860a799888"),
  SHA1: createHash("sha1").update(TEXT).digest("base64"),
  SHA256: createHash("sha256").update(TEXT).digest("base64"),
};
const NAMES = Object.keys(KNOWN) as (keyof typeof KNOWN)[];

export function checksums(subject: Subject): void {
  const { s3, store } = subject;
  const headerOf = (name: string) => `x-amz-checksum-${name.toLowerCase()}`;

  describe("checksums", () => {
    test.each(NAMES)("%s in a header is checked, kept and given back", async (name) => {
      const Bucket = await newBucket(subject);
      const request = (value: string) => ({
        method: "PUT",
        path: `/${Bucket}/x`,
        body: TEXT,
        headers: { [headerOf(name)]: value },
      });
      expect((await send(store, request(KNOWN[name]))).status).toBe(200);
      const asked = await send(store, {
        path: `/${Bucket}/x`,
        method: "HEAD",
        headers: { "x-amz-checksum-mode": "ENABLED" },
      });
      expect(asked.headers[headerOf(name)]).toBe(KNOWN[name]);
      const other = Buffer.from(KNOWN[name], "base64");
      other[0] = (other[0] ?? 0) ^ 1;
      const wrong = await send(store, request(other.toString("base64")));
      expect(wrong.status).toBe(400);
      expect(wrong.body).toContain("<Code>BadDigest</Code>");
      expect((await send(store, request("AAA"))).status).toBe(400);
    });

    test.each(["CRC32", "CRC32C", "SHA1", "SHA256"] as const)("%s is what the SDK makes and checks", async (name) => {
      const Bucket = await newBucket(subject);
      const wanted = { ChecksumAlgorithm: name as ChecksumAlgorithm };
      await s3.send(new PutObjectCommand({ Bucket, Key: "x", Body: TEXT, ...wanted }));
      const body = Readable.from([Buffer.from(TEXT)]);
      await s3.send(new PutObjectCommand({ Bucket, Key: "y", Body: body, ContentLength: TEXT.length, ...wanted }));
      for (const Key of ["x", "y"]) {
        const answer = await s3.send(new GetObjectCommand({ Bucket, Key, ChecksumMode: "ENABLED" }));
        expect(await answer.Body?.transformToString()).toBe(TEXT);
        expect(answer[`Checksum${name}`]).toBe(KNOWN[name]);
      }
    });

    test("of a part of an object are not those of the whole", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", TEXT);
      const answer = await s3.send(
        new GetObjectCommand({ Bucket, Key: "x", Range: "bytes=0-3", ChecksumMode: "ENABLED" }),
      );
      expect(await answer.Body?.transformToString()).toBe("1234");
    });

    test("two at once are refused", async () => {
      const Bucket = await newBucket(subject);
      const headers = { [headerOf("CRC32")]: KNOWN.CRC32, [headerOf("SHA1")]: KNOWN.SHA1 };
      expect((await send(store, { method: "PUT", path: `/${Bucket}/x`, body: TEXT, headers })).status).toBe(400);
    });

    test("Content-MD5 is checked", async () => {
      const Bucket = await newBucket(subject);
      const request = (value: string) => ({
        method: "PUT",
        path: `/${Bucket}/x`,
        body: TEXT,
        headers: { "content-md5": value },
      });
      expect((await send(store, request(md5(TEXT, "base64")))).status).toBe(200);
      expect((await send(store, request(md5("other", "base64")))).body).toContain("<Code>BadDigest</Code>");
      expect((await send(store, request("no md5"))).body).toContain("<Code>InvalidDigest</Code>");
    });

    test("of a multipart object are made of those of its parts", async () => {
      const Bucket = await newBucket(subject);
      const pieces = [noise(5 * MiB), noise(100)];
      const sums = pieces.map((bytes) => createHash("sha256").update(bytes).digest());
      const made = await upload(Bucket, "SHA256", "COMPOSITE", pieces);
      const wanted = `${createHash("sha256").update(Buffer.concat(sums)).digest("base64")}-2`;
      expect(made.ChecksumSHA256).toBe(wanted);
      const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "x", ChecksumMode: "ENABLED" }));
      expect(head).toMatchObject({ ChecksumSHA256: wanted, ChecksumType: "COMPOSITE" });
    });

    test.each(["CRC32", "CRC32C", "CRC64NVME"] as const)(
      "%s of a multipart object can be that of the whole",
      async (name) => {
        const Bucket = await newBucket(subject);
        const pieces = [Buffer.concat([noise(5 * MiB)]), Buffer.from(TEXT)];
        await upload(Bucket, name, "FULL_OBJECT", pieces);
        const head = await s3.send(new HeadObjectCommand({ Bucket, Key: "x", ChecksumMode: "ENABLED" }));
        await send(store, {
          method: "PUT",
          path: `/${Bucket}/whole`,
          body: Buffer.concat(pieces),
          headers: { [headerOf(name)]: head[`Checksum${name}`] ?? "" },
        }).then(({ status, body }) => expect([status, body]).toEqual([200, ""]));
        expect(head.ChecksumType).toBe("FULL_OBJECT");
      },
    );
  });

  async function upload(
    Bucket: string,
    name: keyof typeof KNOWN,
    ChecksumType: "COMPOSITE" | "FULL_OBJECT",
    pieces: Buffer[],
  ) {
    const ChecksumAlgorithm = name as ChecksumAlgorithm;
    const at = { Bucket, Key: "x" };
    const { UploadId } = await s3.send(new CreateMultipartUploadCommand({ ...at, ChecksumAlgorithm, ChecksumType }));
    const Parts = [];
    for (const [index, Body] of pieces.entries()) {
      const PartNumber = index + 1;
      const computed = name === "CRC64NVME" ? await rawPart(Bucket, UploadId ?? "", PartNumber, Body) : undefined;
      const answer =
        computed ?? (await s3.send(new UploadPartCommand({ ...at, UploadId, PartNumber, Body, ChecksumAlgorithm })));
      Parts.push({ PartNumber, ETag: answer.ETag, ...sumsOf(answer) });
    }
    return s3.send(new CompleteMultipartUploadCommand({ ...at, UploadId, MultipartUpload: { Parts }, ChecksumType }));
  }

  /** The SDK has no CRC-64 of its own; the store computes it where the upload names it. */
  async function rawPart(Bucket: string, uploadId: string, partNumber: number, body: Buffer) {
    const query = { uploadId, partNumber: String(partNumber) };
    const answer = await send(store, { method: "PUT", path: `/${Bucket}/x`, query, body });
    expect(answer.status).toBe(200);
    const ChecksumCRC64NVME = answer.headers["x-amz-checksum-crc64nvme"] as string;
    return { ETag: answer.headers.etag, ChecksumCRC64NVME };
  }
}

/** The checksums of a part, as the upload's end wants them again. */
function sumsOf(answer: object): object {
  return Object.fromEntries(
    Object.entries(answer).filter(([name, value]) => name.startsWith("Checksum") && value !== undefined),
  );
}

function hex(text: string): string {
  return Buffer.from(text, "hex").toString("base64");
}
