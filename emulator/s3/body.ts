/**
 * Takes a request's body in, piece by piece, and believes none of it: the coding comes off, and length, SHA-256,
 * Content-MD5 and checksum must be what the request says before anybody may use what was written.
 */
import { createHash } from "node:crypto";
import { type Algorithm, checkForm, createHasher, headerOf, statedChecksum } from "./checksums.ts";
import { type ChunkSigner, createChunkedDecoder, incomplete } from "./chunked.ts";
import { S3Error } from "./errors.ts";
import { type S3Request, wholeNumber } from "./request.ts";
import { isSame } from "./signature.ts";

/** What the signature says about the body. */
export interface BodyProof {
  /** `x-amz-content-sha256`: a hash, UNSIGNED-PAYLOAD or STREAMING-... */
  payload: string;
  /** For the STREAMING kinds. */
  chunks: ChunkSigner | undefined;
}

export interface Received {
  /** Bytes. */
  size: number;
  /** Hex. */
  md5: string;
  checksum: { algorithm: Algorithm; value: string } | undefined;
}

/** Takes bytes in order; they stay untouched after the call. */
export interface Sink {
  write(bytes: Buffer): Promise<void>;
}

const KINDS: Record<string, { isSigned: boolean; hasTrailer: boolean }> = {
  "STREAMING-UNSIGNED-PAYLOAD-TRAILER": { isSigned: false, hasTrailer: true },
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": { isSigned: true, hasTrailer: false },
  "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": { isSigned: true, hasTrailer: true },
};

/**
 * Feeds the body to `sink`. `algorithm`: computed also where the request states no checksum.
 * @throws S3Error; what the sink has by then is to be thrown away
 */
export async function receive(
  request: Pick<S3Request, "headers" | "body">,
  proof: BodyProof,
  sink: Sink,
  limits: { maxBytes: number; algorithm?: Algorithm | undefined },
): Promise<Received> {
  const { headers } = request;
  const kind = KINDS[proof.payload];
  if (!kind && proof.payload.startsWith("STREAMING-"))
    throw new S3Error("NotImplemented", `The payload ${proof.payload} is not implemented.`);
  const announced = announcedBytes(headers, kind !== undefined);
  if (announced > limits.maxBytes)
    throw new S3Error("EntityTooLarge", "Your proposed upload exceeds the maximum allowed object size.", {
      fields: { ProposedSize: announced, MaxSizeAllowed: limits.maxBytes },
    });
  const wantedMd5 = contentMd5(headers);
  const stated = statedChecksum(headers);
  const algorithm = stated?.algorithm ?? limits.algorithm;
  const hasher = algorithm && createHasher(algorithm);
  const md5 = createHash("md5");
  const sha256 = kind || proof.payload === "UNSIGNED-PAYLOAD" ? undefined : createHash("sha256");
  const decoder = kind && createChunkedDecoder(kind.isSigned ? proof.chunks : undefined, kind.hasTrailer);

  let size = 0;
  for await (const bytes of request.body) {
    for (const piece of decoder ? decoder.push(bytes) : [bytes]) {
      size += piece.length;
      if (size > announced) throw incomplete();
      md5.update(piece);
      sha256?.update(piece);
      hasher?.update(piece);
      await sink.write(piece);
    }
  }
  const trailers = decoder?.end() ?? {};
  if (size !== announced) throw incomplete();
  if (sha256 && !isSame(sha256.digest("hex"), proof.payload.toLowerCase()))
    throw new S3Error(
      "XAmzContentSHA256Mismatch",
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
    );
  const digest = md5.digest();
  if (wantedMd5 && !digest.equals(wantedMd5))
    throw new S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.");
  const value = hasher?.digest();
  if (stated) checkStated(stated.algorithm, stated.value ?? trailers[headerOf(stated.algorithm)], value);
  return {
    size,
    md5: digest.toString("hex"),
    checksum: algorithm && value !== undefined ? { algorithm, value } : undefined,
  };
}

/** A body that is small by its nature, whole. */
export async function receiveText(request: S3Request, proof: BodyProof, maxBytes = 4 << 20): Promise<string> {
  const pieces: Buffer[] = [];
  const sink = {
    async write(bytes: Buffer) {
      pieces.push(bytes);
    },
  };
  await receive(request, proof, sink, { maxBytes });
  return Buffer.concat(pieces).toString("utf8");
}

function announcedBytes(headers: Record<string, string>, isChunked: boolean): number {
  const name = isChunked ? "x-amz-decoded-content-length" : "content-length";
  const text = headers[name];
  if (text === undefined) {
    // A request without a body says nothing at all.
    if (!isChunked && headers["transfer-encoding"] === undefined) return 0;
    throw new S3Error("MissingContentLength", `You must provide the ${name} HTTP header.`);
  }
  return wholeNumber(text, name, 0, Number.MAX_SAFE_INTEGER);
}

function contentMd5(headers: Record<string, string>): Buffer | undefined {
  const text = headers["content-md5"];
  if (text === undefined) return undefined;
  const md5 = Buffer.from(text, "base64");
  if (md5.length === 16) return md5;
  throw new S3Error("InvalidDigest", "The Content-MD5 you specified was invalid.");
}

function checkStated(algorithm: Algorithm, stated: string | undefined, computed: string | undefined): void {
  if (stated === undefined)
    throw new S3Error("MalformedTrailerError", `The trailer lacks ${headerOf(algorithm)}, which x-amz-trailer names.`);
  checkForm(algorithm, stated);
  if (stated !== computed)
    throw new S3Error("BadDigest", `The ${algorithm} you specified did not match the calculated checksum.`);
}
