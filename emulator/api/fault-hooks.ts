/** Faults that lie in the connection and not in the market: late, lost, refused and unreadable answers. */
import type { World } from "../market/world.ts";
import { tooFrequent } from "./rate-limit.ts";
import type { CallKind, Reply, Route } from "./route.ts";

/** What happens before a call is looked at. A `reply` means that the call has no effect. */
export function faultBefore(world: World, route: Route): { delayMs?: number; reply?: Reply } {
  const limit = world.faults.take("rate-limit", hits(route, "any"));
  if (limit) return { reply: limitReply(limit) };
  const broken = world.faults.take("server-error", hits(route, "any"));
  if (broken) {
    const status = Number(broken.status ?? 500);
    const text = String(broken.body ?? `<html><body><h1>${status} Server Error</h1></body></html>`);
    return { reply: { status, text, contentType: "text/html" } };
  }
  const late = world.faults.take("reply-delayed", hits(route, "any"));
  return late ? { delayMs: Number(late.delay ?? 5) * 1000 } : {};
}

/** What happens to an answer after the call had its effect. */
export function faultAfter(world: World, route: Route, reply: Reply): { isLost?: boolean; reply?: Reply } {
  if (world.faults.take("reply-lost", hits(route, "create"))) return { isLost: true };
  if (route.call !== "list" || reply.status !== 200) return {};
  const unreadable = world.faults.take("list-unreadable");
  if (unreadable) return { reply: unreadableReply(String(unreadable.body ?? "html"), reply) };
  const cut = world.faults.take("list-cut");
  if (!cut) return {};
  const whole = reply.json as { instances: unknown[]; next_token?: unknown };
  const { next_token: _, ...rest } = whole;
  const keep = Number(cut.keep ?? Math.floor(whole.instances.length / 2));
  return { reply: { status: 200, json: { ...rest, instances: whole.instances.slice(0, keep) } } };
}

/** Whether a fault with an `on` parameter (one kind or several with commas) means this route. */
function hits(route: Route, fallback: CallKind | "any"): (params: Record<string, unknown>) => boolean {
  return (params) => {
    const wanted = String(params.on ?? fallback).split(",");
    return wanted.includes("any") || wanted.includes(route.call) || wanted.includes(route.name);
  };
}

function limitReply(params: Record<string, unknown>): Reply {
  const base =
    params.form === "json"
      ? { status: 429, json: { detail: "API requests too frequent endpoint threshold=4.5" } }
      : tooFrequent();
  return params.retryAfter === undefined ? base : { ...base, headers: { "Retry-After": String(params.retryAfter) } };
}

function unreadableReply(body: string, whole: Reply): Reply {
  if (body === "empty") return { status: 200, text: "", contentType: "application/json" };
  if (body === "null") return { status: 200, json: { success: true, instances: null } };
  if (body === "truncated") {
    const text = JSON.stringify(whole.json);
    return { status: 200, text: text.slice(0, Math.floor(text.length * 0.6)), contentType: "application/json" };
  }
  return { status: 200, text: "<html><body>We will be right back.</body></html>", contentType: "text/html" };
}
