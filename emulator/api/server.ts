/**
 * From an HTTP request to its answer: read, find the route, faults, key, permission, limits, settle the market,
 * run the handler, make the changes lasting, answer. In this order: nothing is answered before it is on disk.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { messageOf } from "../../common/errors.ts";
import { QueryError } from "../market/query.ts";
import { RequestError } from "../market/rent-request.ts";
import { settle } from "../market/settle.ts";
import type { World } from "../market/world.ts";
import { authenticate, authorize, keyOfRequest } from "./auth.ts";
import { faultAfter, faultBefore } from "./fault-hooks.ts";
import type { RateLimiter } from "./rate-limit.ts";
import { ApiError, type Call, type Reply, type Route } from "./route.ts";
import { createRouter, type Router } from "./router.ts";
import { adminRoutes, marketRoutes } from "./routes/index.ts";

export interface ApiOptions {
  world: World;
  /** Null: no limits. */
  limiter: RateLimiter | null;
  /** Opens `/_emulator/`; null: not served, as on the machines' side. */
  adminKey: string | null;
  /** Real sleep for delayed answers. */
  sleep: (ms: number) => Promise<void>;
  /** Called after each call that may have changed what is due next. */
  onChange: () => void;
  /** Ends the daemon; `/_emulator/stop` calls it after its answer. */
  onStop: () => void;
}

const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** Serves the market's API; usable for any number of listeners. */
export function createApi(options: ApiOptions): RequestListener {
  const router = createRouter(marketRoutes());
  const admin = createRouter(options.adminKey === null ? [] : adminRoutes());
  return (request, response) => {
    void serve(options, router, admin, request, response).catch((error) => {
      options.world.log(`${request.method} ${request.url}: ${error instanceof Error ? error.stack : messageOf(error)}`);
      if (!response.headersSent)
        send(response, {
          status: 500,
          json: { success: false, error: "server_error", msg: "internal error of the emulator" },
        });
      else response.destroy();
    });
  };
}

async function serve(
  options: ApiOptions,
  router: Router,
  admin: Router,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { world } = options;
  // Market time, which may run faster: clients take ages and deadlines from it, as from the real market's clock.
  response.setHeader("Date", new Date(world.clock.now() * 1000).toUTCString());
  const url = new URL(`http://emulator${request.url ?? "/"}`);
  const bytes = await readBody(request);
  const isAdmin = url.pathname.startsWith("/_emulator/");
  if (!isAdmin && world.faults.active("market-down")) {
    request.socket.destroy();
    return;
  }
  const found = (isAdmin ? admin : router).find(request.method ?? "GET", url.pathname);
  if (!found) {
    send(response, {
      status: 404,
      json: { success: false, error: "not_found", msg: `error 404: no such route ${request.method} ${url.pathname}` },
    });
    return;
  }
  const { route, params } = found;
  const before = isAdmin ? {} : faultBefore(world, route);
  if (before.delayMs) await options.sleep(before.delayMs);
  const reply = before.reply ?? (await answer(options, { route, params, url, bytes, request, isAdmin }));
  const after = isAdmin || before.reply ? {} : faultAfter(world, route, reply);
  world.commit();
  options.onChange();
  if (after.isLost) {
    request.socket.destroy();
    return;
  }
  send(response, after.reply ?? reply);
  if (isAdmin && route.name === "emulator.stop") response.once("close", options.onStop);
}

interface Incoming {
  route: Route;
  params: Record<string, string>;
  url: URL;
  bytes: Buffer;
  request: IncomingMessage;
  isAdmin: boolean;
}

/** Runs the handler; an answer that says no is an answer. */
async function answer(options: ApiOptions, incoming: Incoming): Promise<Reply> {
  const { world, limiter } = options;
  const { route, params, url, bytes, request } = incoming;
  try {
    const identity = keyOfRequest(request.headers.authorization, url.searchParams);
    if (incoming.isAdmin && identity !== options.adminKey) throw new ApiError(401, "auth_error", "Invalid user key");
    const limited = limiter?.check(route, identity ?? request.socket.remoteAddress ?? "");
    if (limited) return limited;
    const body = parseBody(bytes, request.method ?? "GET");
    const t = settle(world);
    const baseUrl = `http://${request.headers.host ?? "127.0.0.1"}`;
    if (route.scope === "open")
      return await route.handler({ world, t, params, query: url.searchParams, body, baseUrl } as Call);
    const caller = authenticate(world, route, identity);
    authorize(route, caller.key, params, body);
    return await route.handler({ world, t, ...caller, params, query: url.searchParams, body, baseUrl });
  } catch (error) {
    if (error instanceof ApiError) return error.reply;
    if (error instanceof RequestError) return new ApiError(400, error.code, error.message).reply;
    if (error instanceof QueryError) return new ApiError(400, "invalid_request", `error 400: ${error.message}`).reply;
    throw error;
  }
}

function parseBody(bytes: Buffer, method: string): Record<string, unknown> {
  if (method === "GET" || bytes.length === 0) return {};
  try {
    const body: unknown = JSON.parse(bytes.toString("utf8"));
    if (typeof body === "object" && body !== null && !Array.isArray(body)) return body as Record<string, unknown>;
  } catch {
    // answered below, as any other body that is no object
  }
  throw new ApiError(400, "invalid_request", "Invalid json body");
}

function readBody(request: IncomingMessage): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) request.destroy(new Error("body too large"));
      else chunks.push(chunk);
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    request.on("error", reject);
  });
}

function send(response: ServerResponse, reply: Reply): void {
  const text = reply.text ?? JSON.stringify(reply.json ?? {});
  response.writeHead(reply.status, {
    "Content-Type": reply.contentType ?? (reply.text === undefined ? "application/json" : "text/plain"),
    "Content-Length": Buffer.byteLength(text),
    ...reply.headers,
  });
  response.end(text);
}
