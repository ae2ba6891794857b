/**
 * From an HTTP request to S3's answer: read it, find the operation, faults, signature, permission, do it, answer.
 * Bodies go from the network to the disk and back in pieces, so memory does not grow with objects.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import { type Clock, systemClock } from "../../common/clock.ts";
import { messageOf } from "../../common/errors.ts";
import type { Log } from "../../common/log.ts";
import { isBelow, mayDo } from "./access.ts";
import { authenticate } from "./authenticate.ts";
import type { S3Call, S3Reply } from "./call.ts";
import { errorXml, S3Error, storageError } from "./errors.ts";
import { NO_FAULTS, passing, type S3FaultSource, Torn, type Weather, weatherOf } from "./faults.ts";
import type { Keyring } from "./keys.ts";
import { parseCopySource } from "./operations/write.ts";
import { readRequest, type S3Request } from "./request.ts";
import { type Operation, route } from "./router.ts";
import type { S3Store } from "./storage/store.ts";

export interface S3ServerOptions {
  store: S3Store;
  keyring: Keyring;
  clock?: Clock;
  faults?: S3FaultSource;
  log: Log;
}

/** Clients keep connections for longer than Node's 5 s and would meet a closed one. */
const KEEP_ALIVE_MS = 65_000;

/** A server for the listener below; uploads may take as long as they take. */
export function createS3HttpServer(listener: RequestListener): Server {
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: KEEP_ALIVE_MS }, listener);
  server.headersTimeout = KEEP_ALIVE_MS;
  return server;
}

export function createS3Listener(options: S3ServerOptions): RequestListener {
  return (message, response) => {
    void serve(options, message, response).catch((error) => {
      if (!isLostConnection(error))
        options.log(`s3: ${message.method} ${message.url}: ${error instanceof Error ? error.stack : messageOf(error)}`);
      response.destroy();
    });
  };
}

async function serve(options: S3ServerOptions, message: IncomingMessage, response: ServerResponse): Promise<void> {
  const requestId = randomBytes(8).toString("hex").toUpperCase();
  response.setHeader("x-amz-request-id", requestId);
  response.setHeader("x-amz-id-2", "vastlane-emulator");
  response.setHeader("server", "vastlane-emulator");
  let weather: Weather | undefined;
  try {
    const request = readRequest(message);
    const operation = findOperation(request);
    weather = weatherOf(options.faults ?? NO_FAULTS, request, operation instanceof S3Error ? undefined : operation);
    if (weather.isDown) return void message.socket.destroy();
    if (weather.delayMs > 0) await (options.clock ?? systemClock).sleep(weather.delayMs);
    if (weather.error) return await refuse(message, response, weather.error, requestId);
    const reply = await answer(options, request, operation, weather);
    await send(response, reply, weather, options.clock ?? systemClock);
  } catch (error) {
    if (error instanceof Torn) return void message.socket.destroy();
    if (response.headersSent) throw error; // half an answer: all that is left is to cut it off
    const known = error instanceof S3Error ? error : storageError(error);
    if (known) return await refuse(message, response, known, requestId);
    if (isLostConnection(error)) throw error;
    options.log(`s3: ${message.method} ${message.url}: ${error instanceof Error ? error.stack : messageOf(error)}`);
    await refuse(
      message,
      response,
      new S3Error("InternalError", "We encountered an internal error. Please try again."),
      requestId,
    );
  }
}

/** An unknown operation is an answer as well, but only for somebody whose signature is right. */
function findOperation(request: S3Request): Operation | S3Error {
  try {
    return route(request);
  } catch (error) {
    if (error instanceof S3Error) return error;
    throw error;
  }
}

async function answer(
  options: S3ServerOptions,
  request: S3Request,
  operation: Operation | S3Error,
  weather: Weather,
): Promise<S3Reply> {
  const { store, keyring, clock = systemClock } = options;
  const caller = authenticate(request, keyring, clock.now());
  const { grant } = caller;
  if (operation instanceof S3Error) throw grant === null ? operation : denied();
  checkAccess(request, operation, caller.grant);
  const size = Number(request.headers["content-length"] ?? 0);
  const isDelayed = operation.moves === "up" && (weather.isTorn || weather.rate !== undefined);
  const call: S3Call = {
    request: isDelayed ? { ...request, body: passing(request.body, weather, size, clock) } : request,
    caller,
    store,
    bucket: () => store.bucket(request.bucket),
    mayUse: (key) => grant === null || isBelow(grant, key),
    now: () => Math.floor(clock.now() / 1000) * 1000,
  };
  return operation.handler(call);
}

function checkAccess(request: S3Request, { reach }: Operation, grant: Parameters<typeof mayDo>[0]): void {
  const { bucket, key, query, headers } = request;
  const wish = {
    reach,
    bucket,
    key,
    prefix: query.get("prefix") ?? "",
    versionId: query.get("versionId"),
    hasTags: headers["x-amz-tagging"] !== undefined,
  };
  if (!mayDo(grant, wish)) throw denied();
  if (headers["x-amz-copy-source"] === undefined || grant === null) return;
  const source = parseCopySource(request);
  if (!mayDo(grant, { ...wish, ...source, reach: "object", hasTags: false })) throw denied();
}

function denied(): S3Error {
  return new S3Error("AccessDenied", "Access Denied");
}

async function send(response: ServerResponse, reply: S3Reply, weather: Weather, clock: Clock): Promise<void> {
  const { status, headers = {}, xml, body } = reply;
  try {
    if (xml !== undefined) {
      const text = Buffer.from(xml);
      response.writeHead(status, { ...headers, "content-type": "application/xml", "content-length": text.length });
      response.end(text);
    } else if (body) {
      response.writeHead(status, headers);
      const isPlain = !weather.isTorn && weather.rate === undefined;
      await stream(response, isPlain ? body.bytes : passing(body.bytes, weather, body.size, clock));
      response.end();
    } else {
      response.writeHead(status, status === 204 ? headers : { "content-length": 0, ...headers });
      response.end();
    }
  } finally {
    body?.close();
  }
}

/** The reader uses two buffers in turn, so a piece must have left before the one after the next is read. */
async function stream(response: ServerResponse, bytes: AsyncIterable<Buffer>): Promise<void> {
  let before: Promise<void> = Promise.resolve();
  for await (const piece of bytes) {
    await before;
    before = new Promise((resolve, reject) => {
      response.write(piece, (error) => (error ? reject(error) : resolve()));
    });
    before.catch(() => {}); // awaited in the next round
  }
  await before;
}

/** Says no. What the client still sends is read and thrown away, or it would never read the answer. */
async function refuse(
  message: IncomingMessage,
  response: ServerResponse,
  error: {
    status: number;
    code: string;
    message: string;
    fields?: Record<string, string | number>;
    headers?: Record<string, string>;
  },
  requestId: string,
): Promise<void> {
  const { status, headers = {} } = error;
  if (status === 503) response.setHeader("retry-after", "1");
  const isBodiless = message.method === "HEAD" || status === 304;
  const text = Buffer.from(
    isBodiless ? "" : errorXml(error, { resource: (message.url ?? "").split("?")[0] ?? "", requestId }),
  );
  response.writeHead(status, {
    ...headers,
    ...(status === 304 ? {} : { "content-type": "application/xml" }),
    ...(isBodiless ? {} : { "content-length": text.length }),
  });
  response.end(text);
  message.resume();
}

function isLostConnection(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
  return ["ECANCELED", "ECONNRESET", "EPIPE", "ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED"].includes(code);
}
