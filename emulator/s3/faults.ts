/**
 * The faults of the store: what is done to a request before, and to its bytes while they pass. Which faults are on is
 * the market's to know (emulator/faults); this only plays them.
 */
import type { Clock } from "../../common/clock.ts";
import type { FaultName } from "../faults/kinds.ts";
import { WRITE_CONDITIONS } from "./conditions.ts";
import { madeUpError, S3Error } from "./errors.ts";
import type { S3Request } from "./request.ts";
import type { Operation } from "./router.ts";

/** The part of the market's table of faults that the store asks. */
export interface S3FaultSource {
  take(kind: FaultName, suits?: (params: Record<string, unknown>) => boolean): Record<string, unknown> | undefined;
  active(kind: FaultName): Record<string, unknown> | undefined;
}

export const NO_FAULTS: S3FaultSource = { take: () => undefined, active: () => undefined };

/** What a request meets. */
export interface Weather {
  /** The connection is closed without an answer. */
  isDown: boolean;
  error: { status: number; code: string; message: string } | undefined;
  delayMs: number;
  /** Bytes per second, each way. */
  rate: number | undefined;
  /** The connection is cut in the middle of the bytes. */
  isTorn: boolean;
}

export function weatherOf(source: S3FaultSource, request: S3Request, operation: Operation | undefined): Weather {
  const calm: Weather = { isDown: false, error: undefined, delayMs: 0, rate: undefined, isTorn: false };
  if (source.active("s3-down")) return { ...calm, isDown: true };
  const broken = source.take("s3-error", hits(operation));
  if (broken) {
    const status = Number(broken.status ?? 500);
    return { ...calm, error: madeUpError(status, String(broken.code ?? codeOf(status))) };
  }
  if (source.take("s3-slow-down", hits(operation))) {
    return { ...calm, error: { status: 503, code: "SlowDown", message: "Please reduce your request rate." } };
  }
  if (
    WRITE_CONDITIONS.some((name) => request.headers[name] !== undefined) &&
    request.method !== "GET" &&
    request.method !== "HEAD" &&
    source.active("s3-no-conditions")
  )
    throw new S3Error("NotImplemented", "A header you provided implies functionality that is not implemented", {
      fields: { Header: request.headers["if-match"] === undefined ? "If-None-Match" : "If-Match" },
    });
  const slow = source.active("s3-slow");
  return {
    ...calm,
    delayMs: Number(slow?.ms ?? 0),
    rate: slow?.bytesPerSecond === undefined ? undefined : Number(slow.bytesPerSecond),
    isTorn:
      operation !== undefined &&
      operation.moves !== "nothing" &&
      source.take("s3-torn", tears(operation)) !== undefined,
  };
}

/** Lets bytes pass at the rate of the weather, and half of them where the connection is torn. */
export async function* passing(
  bytes: AsyncIterable<Buffer>,
  { rate, isTorn }: Weather,
  size: number,
  clock: Clock,
): AsyncGenerator<Buffer> {
  let passed = 0;
  for await (const piece of bytes) {
    if (isTorn && passed + piece.length > size / 2) {
      const last = piece.subarray(0, Math.max(0, Math.floor(size / 2) - passed));
      if (last.length > 0) yield last;
      throw new Torn();
    }
    passed += piece.length;
    if (rate !== undefined) await clock.sleep((piece.length / rate) * 1000);
    yield piece;
  }
}

/** The connection is to be cut here. */
export class Torn extends Error {}

/** Whether a fault with an `on` parameter (an operation's name, or several with commas) means this one. */
function hits(operation: Operation | undefined): (params: Record<string, unknown>) => boolean {
  return ({ on }) =>
    on === undefined ||
    String(on)
      .split(",")
      .includes(operation?.name ?? "");
}

/** The same, and only bytes that go the way that the fault is for. */
function tears(operation: Operation): (params: Record<string, unknown>) => boolean {
  const isHit = hits(operation);
  return (params) => isHit(params) && (params.direction === undefined || params.direction === operation.moves);
}

function codeOf(status: number): string {
  return { 500: "InternalError", 503: "ServiceUnavailable", 403: "AccessDenied" }[status] ?? "InternalError";
}
