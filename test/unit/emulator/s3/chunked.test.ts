import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type ChunkSigner, createChunkedDecoder } from "../../../../emulator/s3/chunked.ts";
import type { S3Error } from "../../../../emulator/s3/errors.ts";
import { sign, signedChunks } from "../../../helpers/sign-v4.ts";

const store = {
  endpoint: "http://127.0.0.1:1",
  region: "us-east-1",
  accessKeyId: "key",
  secretAccessKey: "secret",
  stop: async () => {},
};
const trailer = { "x-amz-checksum-crc32": "AAAAAA==", "x-amz-other": "two words" };

/** An encoded body and what a decoder of it needs. */
interface Encoded {
  bytes: Buffer;
  signer: ChunkSigner | undefined;
  hasTrailer: boolean;
}

function encoded(body: Buffer, chunk: number, kind: "signed" | "signed with trailer" | "unsigned"): Encoded {
  if (kind === "unsigned") {
    const pieces: Buffer[] = [];
    for (let at = 0; at < body.length; at += chunk) {
      const piece = body.subarray(at, at + chunk);
      pieces.push(Buffer.from(`${piece.length.toString(16).toUpperCase()}\r\n`), piece, Buffer.from("\r\n"));
    }
    const end = Object.entries(trailer).map(([name, value]) => `${name}:${value}\r\n`);
    pieces.push(Buffer.from(`0\r\n${end.join("")}\r\n`));
    return { bytes: Buffer.concat(pieces), signer: undefined, hasTrailer: true };
  }
  const hasTrailer = kind === "signed with trailer";
  const signed = sign(store, { method: "PUT", path: "/b/k" });
  const [date = "", region = "", service = ""] = signed.scope.split("/");
  const signer = {
    key: signed.key,
    scope: { date, region, service },
    timestamp: signed.timestamp,
    seed: signed.signature,
  };
  return { bytes: signedChunks(signed, body, chunk, hasTrailer ? trailer : {}), signer, hasTrailer };
}

/** Decodes `bytes` as the network may bring them, cut at `cuts`. */
function decode({ bytes, signer, hasTrailer }: Encoded, cuts: number[] = []) {
  const decoder = createChunkedDecoder(signer, hasTrailer);
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  const found: Buffer[] = [];
  for (const [index, start] of places.slice(0, -1).entries())
    found.push(...decoder.push(bytes.subarray(start, places[index + 1])));
  return { body: Buffer.concat(found), trailers: decoder.end() };
}

function codeOf(work: () => unknown): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return (error as S3Error).code;
  }
}

const kinds = ["signed", "signed with trailer", "unsigned"] as const;

describe.each(kinds)("a body that is %s", (kind) => {
  test("comes out whole wherever it is cut", () => {
    const sizes = fc.record({
      size: fc.integer({ min: 0, max: 40_000 }),
      chunk: fc.integer({ min: 8192, max: 20_000 }),
    });
    fc.assert(
      fc.property(sizes, fc.array(fc.nat(), { maxLength: 20 }), ({ size, chunk }, cuts) => {
        const body = Buffer.from(Array.from({ length: size }, (_, at) => (at * 31) % 251));
        const { body: found, trailers } = decode(encoded(body, chunk, kind), cuts);
        expect(found.equals(body)).toBe(true);
        expect(trailers["x-amz-other"]).toBe(kind === "signed" ? undefined : "two words");
      }),
      { numRuns: 60 },
    );
  });

  test("is not whole when its end is missing, wherever that is", () => {
    const whole = encoded(Buffer.from("text"), 8192, kind);
    for (let length = 0; length < whole.bytes.length - 2; length++) {
      const cut = { ...whole, bytes: whole.bytes.subarray(0, length) };
      expect(["IncompleteBody", "SignatureDoesNotMatch"]).toContain(codeOf(() => decode(cut)));
    }
  });

  test("is refused when something follows", () => {
    const whole = encoded(Buffer.from("text"), 8192, kind);
    const more = { ...whole, bytes: Buffer.concat([whole.bytes, Buffer.from("5\r\nhello\r\n")]) };
    expect(codeOf(() => decode(more))).toBe("InvalidRequest");
  });
});

test("one changed bit of a signed body or trailer is noticed", () => {
  const whole = encoded(Buffer.from("some text"), 8192, "signed with trailer");
  const start = whole.bytes.indexOf("some text");
  const places = [start, start + 8, whole.bytes.indexOf("AAAAAA==") + 2, whole.bytes.length - 10];
  for (const place of places) {
    const bytes = Buffer.from(whole.bytes);
    bytes[place] = (bytes[place] ?? 0) ^ 1;
    expect(codeOf(() => decode({ ...whole, bytes }))).toBe("SignatureDoesNotMatch");
  }
});

test("signed chunks in another order, or one left out, are noticed", () => {
  const body = Buffer.concat([Buffer.alloc(8192, 1), Buffer.alloc(8192, 2)]);
  const { bytes, ...more } = encoded(body, 8192, "signed");
  const length = bytes.indexOf("\r\n") + 2 + 8192 + 2;
  const [first, second, end] = [
    bytes.subarray(0, length),
    bytes.subarray(length, 2 * length),
    bytes.subarray(2 * length),
  ];
  for (const pieces of [
    [second, first, end],
    [second, end],
    [first, end],
    [first, first, second, end],
  ])
    expect(codeOf(() => decode({ ...more, bytes: Buffer.concat(pieces as Buffer[]) }))).toBe("SignatureDoesNotMatch");
});

test.each(["zz\r\n", "-1\r\n", "\r\n", "4\r\nabcdX\r\n0\r\n\r\n", "1".repeat(20_000), "fffffffffffff\r\n"])(
  "nonsense is refused and not waited for: %#",
  (text) => {
    const decoder = createChunkedDecoder(undefined, true);
    expect(codeOf(() => decoder.push(Buffer.from(text)))).toBe("InvalidRequest");
  },
);

test("small chunks are for the end only, as at AWS", () => {
  const decoder = createChunkedDecoder(undefined, true);
  expect(codeOf(() => decoder.push(Buffer.from("1\r\na\r\n1\r\nb\r\n")))).toBe("InvalidChunkSizeError");
});
