/** Who may come in, and what of a request is protected: signatures in headers, in URLs and in chunks. */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import {
  GetBucketEncryptionCommand,
  GetBucketLifecycleConfigurationCommand,
  GetObjectCommand,
  GetPublicAccessBlockCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutBucketEncryptionCommand,
  PutBucketLifecycleConfigurationCommand,
  PutPublicAccessBlockCommand,
} from "@aws-sdk/client-s3";
import { describe, expect, test } from "vitest";
import { presign, type RawRequest, send, sendRaw, sign, signedChunks } from "../../../helpers/sign-v4.ts";
import { clientOf, newBucket, noise, put, read, refusal, type Subject } from "./subject.ts";

const MINUTE = 60_000;

export function signatures(subject: Subject): void {
  const { s3, store } = subject;
  const codeOf = (body: string) => /<Code>(\w+)<\/Code>/.exec(body)?.[1];

  describe("signatures", () => {
    test("of somebody unknown, or with a wrong secret, open nothing", async () => {
      const Bucket = await newBucket(subject);
      const as = (keys: object) => clientOf({ ...store, ...keys });
      const list = new ListObjectsV2Command({ Bucket });
      expect(await refusal(as({ accessKeyId: "AKIANOBODY" }).send(list))).toEqual(
        subject.differs("unknown keys are 404")
          ? { status: 404, code: "XAdminUserNotFound" }
          : { status: 403, code: "InvalidAccessKeyId" },
      );
      expect(await refusal(as({ secretAccessKey: "wrong" }).send(list))).toEqual({
        status: 403,
        code: "SignatureDoesNotMatch",
      });
    });

    test("are needed", async () => {
      const Bucket = await newBucket(subject);
      expect(await sendRaw(`${store.endpoint}/${Bucket}`, {})).toMatchObject({ status: 403 });
      expect(await sendRaw(`${store.endpoint}/${Bucket}/x`, { method: "PUT", body: "1" })).toMatchObject({
        status: 403,
      });
    });

    test("hold for 15 minutes, either way", async () => {
      const Bucket = await newBucket(subject);
      const at = (minutes: number) =>
        send(store, { path: `/${Bucket}`, time: new Date(Date.now() + minutes * MINUTE) });
      for (const minutes of [-14, 14]) expect((await at(minutes)).status).toBe(200);
      for (const minutes of [-16, 16]) {
        const answer = await at(minutes);
        expect([answer.status, codeOf(answer.body)]).toEqual([403, "RequestTimeTooSkewed"]);
      }
    });

    test("are for one region", async () => {
      const Bucket = await newBucket(subject);
      const answer = await send(store, { path: `/${Bucket}`, region: "eu-central-1" });
      expect([answer.status, codeOf(answer.body)]).toEqual([400, "AuthorizationHeaderMalformed"]);
    });

    test("protect the path, the query, signed headers and the body", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", "1");
      const { url, headers } = sign(store, { path: `/${Bucket}/x` });
      expect((await sendRaw(url, { headers })).status).toBe(200);
      expect((await sendRaw(url.replace("/x", "/y"), { headers })).status).toBe(403);
      expect((await sendRaw(`${url}?versionId=null`, { headers })).status).toBe(403);
      const signed = sign(store, {
        method: "PUT",
        path: `/${Bucket}/x`,
        body: "good",
        headers: { "x-amz-meta-a": "1" },
      });
      const changed = { ...signed.headers, "x-amz-meta-a": "2" };
      expect((await sendRaw(signed.url, { method: "PUT", headers: changed, body: "good" })).status).toBe(403);
      const evil = await sendRaw(signed.url, { method: "PUT", headers: signed.headers, body: "evil" });
      expect(evil.status).toBe(400);
      expect(codeOf(evil.body)).toBe("XAmzContentSHA256Mismatch");
      expect(await read(subject, Bucket, "x")).toBe("1");
    });

    test("cover every header of Amazon's own", async () => {
      const Bucket = await newBucket(subject);
      const { url, headers } = sign(store, { method: "PUT", path: `/${Bucket}/x`, body: "1" });
      const added = { ...headers, "x-amz-meta-evil": "1" };
      const answer = await sendRaw(url, { method: "PUT", headers: added, body: "1" });
      expect([answer.status, codeOf(answer.body)]).toEqual([403, "AccessDenied"]);
    });

    test.each(["sp ace", "plus+", "ünï/日本", "a=b&c", "tilde~", "star*'()!"])("fit the key %s", async (key) => {
      const Bucket = await newBucket(subject);
      const path = `/${Bucket}/${key.split("/").map(strictEncode).join("/")}`;
      expect((await send(store, { method: "PUT", path, body: key })).status).toBe(200);
      expect((await send(store, { path, query: { "response-content-type": "text/a b+c" } })).body).toBe(key);
      expect(await read(subject, Bucket, key)).toBe(key);
    });
  });

  describe("presigned URLs", () => {
    test("read and write without a header", async () => {
      const Bucket = await newBucket(subject);
      const path = `/${Bucket}/x%20y`;
      const written = await sendRaw(presign(store, { method: "PUT", path }), { method: "PUT", body: "text" });
      expect(written.status).toBe(200);
      expect(await sendRaw(presign(store, { path }), {})).toMatchObject({ status: 200, body: "text" });
      const part = await sendRaw(presign(store, { path }), { headers: { range: "bytes=1-2" } });
      expect(part).toMatchObject({ status: 206, body: "ex" });
    });

    test("set headers of the answer", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", "1");
      const query = { "response-content-type": "text/own", "response-content-disposition": "attachment" };
      const { headers } = await sendRaw(presign(store, { path: `/${Bucket}/x`, query }), {});
      expect(headers).toMatchObject({ "content-type": "text/own", "content-disposition": "attachment" });
    });

    test("end, and are for one method, key and set of parameters", async () => {
      const Bucket = await newBucket(subject);
      await put(subject, Bucket, "x", "1");
      const path = `/${Bucket}/x`;
      const old = presign(store, { path, time: new Date(Date.now() - 2 * MINUTE), expires: 60 });
      const ended = await sendRaw(old, {});
      expect([ended.status, codeOf(ended.body)]).toEqual([403, "AccessDenied"]);
      const url = presign(store, { path });
      expect((await sendRaw(url, { method: "DELETE" })).status).toBe(403);
      expect((await sendRaw(url.replace("/x?", "/y?"), {})).status).toBe(403);
      expect((await sendRaw(url.replace("Expires=900", "Expires=9000"), {})).status).toBe(403);
      expect((await sendRaw(presign(store, { path, expires: 604_801 }), {})).status).toBe(400);
    });
  });

  describe("bodies in chunks", () => {
    const bytes = noise(200_000);
    const checksum = () => {
      const sum = Buffer.alloc(4);
      sum.writeUInt32BE(crc32(bytes));
      return sum.toString("base64");
    };
    const chunked = (Bucket: string, payload: string, more: Record<string, string> = {}): RawRequest => ({
      method: "PUT",
      path: `/${Bucket}/x`,
      payload,
      headers: { "content-encoding": "aws-chunked", "x-amz-decoded-content-length": String(bytes.length), ...more },
    });
    const trailer = { "x-amz-trailer": "x-amz-checksum-crc32" };

    test("with a signature each", async () => {
      const Bucket = await newBucket(subject);
      const signed = sign(store, chunked(Bucket, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
      const body = signedChunks(signed, bytes, 65_536);
      expect((await sendRaw(signed.url, { method: "PUT", headers: signed.headers, body })).status).toBe(200);
      expect(await hashOf(Bucket)).toBe(sha256(bytes));
      const { ContentEncoding } = await s3.send(new HeadObjectCommand({ Bucket, Key: "x" }));
      expect(ContentEncoding ?? "").toBe(subject.differs("keeps aws-chunked") ? "aws-chunked" : "");
    });

    test("with a signature each are refused when one byte differs", async () => {
      const Bucket = await newBucket(subject);
      const signed = sign(store, chunked(Bucket, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
      const body = signedChunks(signed, bytes, 65_536);
      body[150_000] = (body[150_000] ?? 0) ^ 1;
      const answer = await sendRaw(signed.url, { method: "PUT", headers: signed.headers, body });
      expect([answer.status, codeOf(answer.body)]).toEqual([403, "SignatureDoesNotMatch"]);
      expect((await refusal(s3.send(new HeadObjectCommand({ Bucket, Key: "x" })))).status).toBe(404);
    });

    test("with a signed trailer", async () => {
      const Bucket = await newBucket(subject);
      const signed = sign(store, chunked(Bucket, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", trailer));
      const body = signedChunks(signed, bytes, 65_536, { "x-amz-checksum-crc32": checksum() });
      expect((await sendRaw(signed.url, { method: "PUT", headers: signed.headers, body })).status).toBe(200);
      expect(await hashOf(Bucket)).toBe(sha256(bytes));
    });

    test("with a trailer that is not signed", async () => {
      const Bucket = await newBucket(subject);
      const request = chunked(Bucket, "STREAMING-UNSIGNED-PAYLOAD-TRAILER", trailer);
      const body = (sum: string) =>
        Buffer.concat([
          Buffer.from(`${bytes.length.toString(16)}\r\n`),
          bytes,
          Buffer.from(`\r\n0\r\nx-amz-checksum-crc32:${sum}\r\n\r\n`),
        ]);
      const signed = sign(store, request);
      const wrong = { method: "PUT", headers: signed.headers, body: body("AAAAAA==") };
      const answer = await sendRaw(signed.url, wrong);
      expect([answer.status, codeOf(answer.body)]).toEqual([400, "BadDigest"]);
      expect((await sendRaw(signed.url, { ...wrong, body: body(checksum()) })).status).toBe(200);
      expect(await hashOf(Bucket)).toBe(sha256(bytes));
    });

    test("that are fewer bytes than they say are refused", async () => {
      const Bucket = await newBucket(subject);
      const signed = sign(store, chunked(Bucket, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"));
      const body = signedChunks(signed, bytes.subarray(0, 1000), 65_536);
      const answer = await sendRaw(signed.url, { method: "PUT", headers: signed.headers, body });
      expect([answer.status, codeOf(answer.body)]).toEqual([400, "IncompleteBody"]);
    });
  });

  describe("bucket settings that are not there", () => {
    test("are answered 501, not taken and forgotten", async () => {
      const Bucket = await newBucket(subject);
      const Rules = [{ ID: "a", Status: "Enabled", Filter: { Prefix: "" }, Expiration: { Days: 1 } }] as const;
      const Apply = { SSEAlgorithm: "AES256" } as const;
      const commands = [
        new PutBucketLifecycleConfigurationCommand({ Bucket, LifecycleConfiguration: { Rules: [...Rules] } }),
        new GetBucketLifecycleConfigurationCommand({ Bucket }),
        new PutBucketEncryptionCommand({
          Bucket,
          ServerSideEncryptionConfiguration: { Rules: [{ ApplyServerSideEncryptionByDefault: Apply }] },
        }),
        new GetBucketEncryptionCommand({ Bucket }),
        new PutPublicAccessBlockCommand({ Bucket, PublicAccessBlockConfiguration: { BlockPublicAcls: true } }),
        new GetPublicAccessBlockCommand({ Bucket }),
      ];
      for (const command of commands) {
        const answer = await refusal(clientOf(store, { maxAttempts: 1 }).send(command as GetPublicAccessBlockCommand));
        expect(answer).toEqual({ status: 501, code: "NotImplemented" });
      }
    });
  });

  /** SHA-256 of what lies under `x`. */
  async function hashOf(Bucket: string): Promise<string> {
    const { Body } = await s3.send(new GetObjectCommand({ Bucket, Key: "x" }));
    return sha256(Buffer.from((await Body?.transformToByteArray()) ?? []));
  }
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function strictEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}
