/** The `aws-chunked` coding, cut by the network wherever it likes. */
import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { type ChunkSigner, createChunkedDecoder } from "../../../../emulator/s3/chunked.ts";
import { S3Error } from "../../../../emulator/s3/errors.ts";
import { chunkText, signatureOf, signingKey, trailerText } from "../../../../emulator/s3/signature.ts";
import { EXAMPLE } from "./requests.ts";

const SIGNER: ChunkSigner = {
  key: signingKey(EXAMPLE.secretAccessKey, EXAMPLE.scope),
  scope: EXAMPLE.scope,
  timestamp: EXAMPLE.timestamp,
  seed: "0".repeat(64),
};
const TRAILER = "x-amz-checksum-crc32";

interface Coded {
  chunks: Buffer[];
  signer: ChunkSigner | undefined;
  /** Value of the trailer. */
  trailer: string | undefined;
}

/** What a client sends for these chunks. */
function encode({ chunks, signer, trailer }: Coded): Buffer {
  let previous = signer?.seed ?? "";
  const sign = (text: string) => {
    previous = signer ? signatureOf(signer.key, text) : "";
    return previous;
  };
  const pieces = [...chunks, Buffer.alloc(0)].map((chunk) => {
    const hash = createHash("sha256").update(chunk).digest("hex");
    const extension = signer
      ? `;chunk-signature=${sign(chunkText(signer.timestamp, signer.scope, previous, hash))}`
      : "";
    const end = chunk.length > 0 ? "\r\n" : "";
    return Buffer.concat([Buffer.from(`${chunk.length.toString(16)}${extension}\r\n`), chunk, Buffer.from(end)]);
  });
  if (trailer !== undefined) {
    pieces.push(Buffer.from(`${TRAILER}:${trailer}\r\n`));
    if (signer) {
      const text = trailerText(signer.timestamp, signer.scope, previous, `${TRAILER}:${trailer}\n`);
      pieces.push(Buffer.from(`x-amz-trailer-signature:${sign(text)}\r\n`));
    }
  }
  return Buffer.concat([...pieces, Buffer.from("\r\n")]);
}

/** Feeds `bytes` cut at `cuts`, and gives the object's bytes and the trailers. */
function decode(bytes: Buffer, cuts: number[], { signer, trailer }: Coded) {
  const decoder = createChunkedDecoder(signer, trailer !== undefined);
  const found: Buffer[] = [];
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  for (let at = 1; at < places.length; at++)
    found.push(...decoder.push(bytes.subarray(places[at - 1], places[at])).map((piece) => Buffer.from(piece)));
  return { bytes: Buffer.concat(found), trailers: decoder.end() };
}

/** A chunk other than the last has 8 KiB at least. */
const coded: fc.Arbitrary<Coded> = fc.record({
  chunks: fc
    .tuple(
      fc.array(fc.integer({ min: 8192, max: 20_000 }), { maxLength: 3 }),
      fc.uint8Array({ minLength: 1, maxLength: 300 }),
    )
    // The last chunk's bytes, repeated, are as good as any: line breaks among them too.
    .map(([sizes, last]) => [...sizes.map((size) => Buffer.alloc(size, last)), Buffer.from(last)]),
  signer: fc.constantFrom(undefined, SIGNER),
  trailer: fc.constantFrom(undefined, "AAAAAA=="),
});
const cuts = fc.array(fc.nat({ max: 70_000 }), { maxLength: 12 });

test("whatever the cuts, the bytes and trailers come out as they were", () => {
  fc.assert(
    fc.property(coded, cuts, (one, places) => {
      const { bytes, trailers } = decode(encode(one), places, one);
      expect(bytes.equals(Buffer.concat(one.chunks))).toBe(true);
      expect(trailers[TRAILER]).toBe(one.trailer);
    }),
    { numRuns: 200 },
  );
});

test("it may come byte by byte", () => {
  const one = { chunks: [Buffer.from("a\r\n\r\nb")], signer: SIGNER, trailer: "AAAAAA==" };
  const bytes = encode(one);
  const each = Array.from(bytes.keys());
  expect(decode(bytes, each, one).bytes.toString()).toBe("a\r\n\r\nb");
});

test("what ends early is refused, wherever it ends", () => {
  fc.assert(
    fc.property(coded, cuts, fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (one, places, part) => {
      const whole = encode(one);
      // The last line break is forgotten by some clients, so it may be missing where nothing else is.
      const short = whole.subarray(0, Math.floor((whole.length - 2) * part));
      expect(() => decode(short, places, one)).toThrow(S3Error);
    }),
    { numRuns: 100 },
  );
});

test("one changed bit of a signed body, of its sizes or of its trailer is noticed", () => {
  fc.assert(
    fc.property(coded, cuts, fc.nat(), fc.nat({ max: 7 }), (one, places, place, bit) => {
      const signed = { ...one, signer: SIGNER };
      const bytes = encode(signed);
      const at = place % (bytes.length - 2); // the last line break says nothing
      bytes[at] = (bytes[at] ?? 0) ^ (1 << bit);
      const decoded = () => {
        const got = decode(bytes, places, signed);
        // Case and white space of a size or a trailer's name are nobody's meaning.
        if (got.bytes.equals(Buffer.concat(one.chunks)) && got.trailers[TRAILER] === one.trailer) throw same;
        return got;
      };
      expect(decoded).toThrow();
    }),
    { numRuns: 200 },
  );
});
const same = new S3Error("InvalidRequest", "it means the same");

test("nonsense is refused in words, and no line grows without end", () => {
  const feed = (text: string, hasTrailer = false) => {
    const decoder = createChunkedDecoder(undefined, hasTrailer);
    decoder.push(Buffer.from(text));
    return decoder.end();
  };
  expect(() => feed("zz\r\n")).toThrow("no size of a chunk");
  expect(() => feed("-1\r\n")).toThrow("no size of a chunk");
  expect(() => feed("3\r\nabcd\r\n0\r\n\r\n")).toThrow("longer than it says");
  expect(() => feed("0\r\n\r\nmore\r\n")).toThrow("after the last chunk");
  expect(() => feed("1".repeat(20_000))).toThrow("too long");
  expect(() => feed("1\r\na\r\n1\r\nb\r\n0\r\n\r\n")).toThrow("8192");
  expect(() => feed("1\r\na\r\n0\r\n", true)).toThrow(S3Error);
  expect(feed("1\r\na\r\n0\r\n")).toEqual({});
});

test("a trailer that should be signed and is not is refused", () => {
  const one = { chunks: [Buffer.from("a")], signer: SIGNER, trailer: "AAAAAA==" };
  const text = encode(one).toString("latin1");
  const cut = Buffer.from(text.replace(/x-amz-trailer-signature:.*\r\n/, ""), "latin1");
  expect(() => decode(cut, [], one)).toThrow(S3Error);
});
