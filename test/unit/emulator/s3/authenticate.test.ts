/**
 * Signatures against the examples that AWS publishes with their results ("Examples: Signature Calculations" and the
 * two on bodies in chunks, Amazon S3 API reference), and what a signature does not let through.
 */
import { expect, test } from "vitest";
import { authenticate } from "../../../../emulator/s3/authenticate.ts";
import { receive } from "../../../../emulator/s3/body.ts";
import { S3Error } from "../../../../emulator/s3/errors.ts";
import type { Keyring } from "../../../../emulator/s3/keys.ts";
import type { S3Request } from "../../../../emulator/s3/request.ts";
import { EXAMPLE, EXAMPLE_KEYS, requestOf } from "../../../helpers/s3-requests.ts";

const HOST = "examplebucket.s3.amazonaws.com";
const EMPTY = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SCOPE = "20130524/us-east-1/s3/aws4_request";
const PRESIGNED = [
  "X-Amz-Algorithm=AWS4-HMAC-SHA256",
  `X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F${encodeURIComponent(SCOPE)}`,
  "X-Amz-Date=20130524T000000Z",
  "X-Amz-Expires=86400",
  "X-Amz-SignedHeaders=host",
].join("&");
const PRESIGNATURE = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";

const check = (request: S3Request, nowMs = EXAMPLE.timeMs) => authenticate(request, EXAMPLE_KEYS as Keyring, nowMs);

function signed(method: string, url: string, headers: Record<string, string>, signature: string): S3Request {
  const all: Record<string, string> = { Host: HOST, "x-amz-date": EXAMPLE.timestamp, ...headers };
  const names = Object.keys(all).map((name) => name.toLowerCase());
  return requestOf(method, url, {
    ...all,
    Authorization: `AWS4-HMAC-SHA256 Credential=${EXAMPLE.accessKeyId}/${SCOPE},SignedHeaders=${names.sort().join(";")},Signature=${signature}`,
  });
}

const RANGED = () =>
  signed(
    "GET",
    "/test.txt",
    { Range: "bytes=0-9", "x-amz-content-sha256": EMPTY },
    "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
  );

/** Status and code of the refusal. */
function refused(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof S3Error) return `${error.status} ${error.code}`;
    throw error;
  }
  return "nothing";
}

test("AWS's example of a GET with a range is let in", () => {
  expect(check(RANGED())).toMatchObject({ accessKeyId: EXAMPLE.accessKeyId, grant: null, body: { payload: EMPTY } });
});

test("AWS's example of a PUT with a dollar in its key is let in", () => {
  const request = signed(
    "PUT",
    "/test%24file.text",
    {
      Date: "Fri, 24 May 2013 00:00:00 GMT",
      "x-amz-storage-class": "REDUCED_REDUNDANCY",
      "x-amz-content-sha256": "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072",
    },
    "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
  );
  expect(check(request).accessKeyId).toBe(EXAMPLE.accessKeyId);
  expect([request.bucket, request.key]).toEqual(["examplebucket", "test$file.text"]);
});

test("AWS's example of a subresource without a value is let in", () => {
  const request = signed(
    "GET",
    "/?lifecycle",
    { "x-amz-content-sha256": EMPTY },
    "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
  );
  expect(check(request).accessKeyId).toBe(EXAMPLE.accessKeyId);
});

test("AWS's example of a listing is let in, whatever the order of its parameters", () => {
  const signature = "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7";
  for (const url of ["/?max-keys=2&prefix=J", "/?prefix=J&max-keys=2"])
    expect(check(signed("GET", url, { "x-amz-content-sha256": EMPTY }, signature)).grant).toBeNull();
});

test("AWS's example of a presigned URL is let in until it ends, and not a second longer", () => {
  const request = requestOf("GET", `/test.txt?${PRESIGNED}&X-Amz-Signature=${PRESIGNATURE}`, { host: HOST });
  const lastMs = EXAMPLE.timeMs + 86_400_000;
  expect(check(request, lastMs).body.payload).toBe("UNSIGNED-PAYLOAD");
  expect(refused(() => check(request, lastMs + 1000))).toBe("403 AccessDenied");
  expect(refused(() => check(request, EXAMPLE.timeMs - 16 * 60_000))).toBe("403 AccessDenied");
});

/** The two examples of 65 KiB of `a` in chunks of 64 KiB. */
const CHUNKED = {
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": {
    headers: { "content-length": "66824" },
    signature: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
    chunks: [
      "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
      "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
      "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ],
    trailer: "",
  },
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": {
    headers: { "x-amz-trailer": "x-amz-checksum-crc32c" },
    signature: "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
    chunks: [
      "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
      "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
      "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
    ],
    trailer:
      "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n",
  },
} as const;

for (const [payload, { headers, signature, chunks, trailer }] of Object.entries(CHUNKED)) {
  test(`AWS's example of ${payload} is let in, down to its last chunk`, async () => {
    const request = signed(
      "PUT",
      "/examplebucket/chunkObject.txt",
      {
        Host: "s3.amazonaws.com",
        "content-encoding": "aws-chunked",
        "x-amz-content-sha256": payload,
        "x-amz-decoded-content-length": "66560",
        "x-amz-storage-class": "REDUCED_REDUNDANCY",
        ...headers,
      },
      signature,
    );
    const { body: proof } = check(request);
    const bytes = Buffer.from(
      [65_536, 1024, 0]
        .map(
          (size, at) =>
            `${size.toString(16)};chunk-signature=${chunks[at]}\r\n${"a".repeat(size)}${size ? "\r\n" : ""}`,
        )
        .concat(trailer, "\r\n")
        .join(""),
    );
    const take = async (body: Buffer) => {
      const sink = { write: async () => {} };
      return receive({ headers: request.headers, body: pieces(body) }, proof, sink, { maxBytes: 1e9 });
    };
    const received = await take(bytes);
    expect(received.size).toBe(66_560);
    if (trailer) expect(received.checksum).toEqual({ algorithm: "CRC32C", value: "sOO8/Q==" });
    for (const at of [100, bytes.length - 200]) {
      const changed = Buffer.from(bytes);
      changed[at] = "b".charCodeAt(0);
      await expect(take(changed)).rejects.toBeInstanceOf(S3Error);
    }
  });
}

async function* pieces(body: Buffer): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += 1000) yield body.subarray(at, at + 1000);
}

test("a request is read as path style and as a host of its own", () => {
  const at = (host: string, url: string) => {
    const { bucket, key } = requestOf("GET", url, { host });
    return [bucket, key];
  };
  expect(at("127.0.0.1:9000", "/bucket/a/b")).toEqual(["bucket", "a/b"]);
  expect(at("bucket.localhost:9000", "/a/b")).toEqual(["bucket", "a/b"]);
  expect(at("my.bucket.127.0.0.1:9000", "/a%20b")).toEqual(["my.bucket", "a b"]);
  expect(at("s3.amazonaws.com", "/bucket//a/../b")).toEqual(["bucket", "/a/../b"]);
  expect(at("127.0.0.1:9000", "/")).toEqual(["", ""]);
});

test("what differs in one letter from what was signed stays out", () => {
  const mismatch = "403 SignatureDoesNotMatch";
  const change = (part: Partial<S3Request>) => refused(() => check({ ...RANGED(), ...part }));
  expect(change({})).toBe("nothing");
  expect(change({ method: "PUT" })).toBe(mismatch);
  expect(change({ path: "/test.txT" })).toBe(mismatch);
  const { rawHeaders } = RANGED();
  expect(change({ rawHeaders: rawHeaders.map((text) => (text === "bytes=0-9" ? "bytes=0-99" : text)) })).toBe(mismatch);
  const { headers } = RANGED();
  expect(change({ headers: { ...headers, "x-amz-content-sha256": EMPTY.replace("e", "f") } })).toBe(mismatch);
});

test("what is not signed, or signed for something else, is refused by name", () => {
  const { headers } = RANGED();
  const change = (authorization: string | undefined, more: Record<string, string> = {}) =>
    refused(() => check({ ...RANGED(), headers: { ...headers, authorization, ...more } as Record<string, string> }));
  const { authorization = "" } = headers;
  expect(change(undefined)).toBe("403 AccessDenied");
  expect(change("AWS AKIAIOSFODNN7EXAMPLE:c2lnbmF0dXJl")).toBe("400 InvalidRequest");
  expect(change(authorization.replace(",Signature=", ",Nothing="))).toBe("400 AuthorizationHeaderMalformed");
  expect(change(authorization.replace("us-east-1", "eu-west-1"))).toBe("400 AuthorizationHeaderMalformed");
  expect(change(authorization.replace("/s3/", "/ec2/"))).toBe("400 AuthorizationHeaderMalformed");
  expect(change(authorization.replace("AKIAIOSFODNN7EXAMPLE", "AKIANOBODY"))).toBe("403 InvalidAccessKeyId");
  expect(change(authorization.replace("20130524/", "20130525/"))).toBe("403 SignatureDoesNotMatch");
  expect(change(authorization, { "x-amz-meta-a": "1" })).toBe("403 AccessDenied");
  expect(change(authorization, { "x-amz-security-token": "t" })).toBe("400 InvalidToken");
  expect(change(authorization, { "x-amz-date": "yesterday" })).toBe("403 AccessDenied");
  expect(refused(() => check(RANGED(), EXAMPLE.timeMs + 15 * 60_000))).toBe("nothing");
  expect(refused(() => check(RANGED(), EXAMPLE.timeMs + 15 * 60_000 + 1000))).toBe("403 RequestTimeTooSkewed");
});
