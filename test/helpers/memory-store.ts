/**
 * An object store in memory with what matters of S3: conditions, ETags that are the content's MD5, times in whole
 * seconds of the store's own clock. Faults come before the effect (the request is lost) or after it (the reply is).
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { type Clock, systemClock } from "../../common/clock.ts";
import { UserError } from "../../common/errors.ts";
import { type Condition, ConditionFailed, type ObjectStore, type StoredObject } from "../../runtime/store/types.ts";

export interface StoreCall {
  op: "get" | "put" | "list" | "delete" | "upload" | "download" | "hasConditions";
  key: string;
  body?: Buffer;
  condition?: Condition;
}

/** May throw, may take its time. Thrown before: nothing happened. Thrown after: it happened, the reply is lost. */
export interface StoreHooks {
  before?(call: StoreCall): void | Promise<void>;
  after?(call: StoreCall): void | Promise<void>;
}

export interface MemoryStoreOptions {
  /** The store's own clock, which need not be anybody else's. */
  clock?: Clock;
  faults?: StoreHooks;
  /** False: conditions are ignored, as by stores that do not know them. */
  conditions?: boolean;
}

export interface MemoryStore extends ObjectStore {
  readonly objects: Map<string, { body: Buffer; etag: string; lastModifiedMs: number }>;
  /** Writes that took effect, in order. */
  readonly writes: { key: string; body: Buffer }[];
  /** Calls that match fail so often: `before` the effect or `after` it. */
  failNext(which: {
    op?: StoreCall["op"];
    key?: string;
    when?: "before" | "after";
    times?: number;
    error?: Error;
  }): void;
  /** The object's JSON, for assertions; undefined when there is none. */
  json(key: string): Record<string, unknown> | undefined;
  /** The same objects seen through other hooks and another clock, as by another client. */
  view(faults: StoreHooks): ObjectStore;
}

/** What the store says when nothing came back. */
export function storeDown(): UserError {
  return new UserError("VL_STORE_DOWN", { what: "The store does not answer." });
}

export function memoryStore(options: MemoryStoreOptions = {}): MemoryStore {
  const clock = options.clock ?? systemClock;
  const keepsConditions = options.conditions ?? true;
  const objects: MemoryStore["objects"] = new Map();
  const writes: MemoryStore["writes"] = [];
  const planned: { op?: string; key?: string; when: "before" | "after"; times: number; error: Error }[] = [];
  const seconds = () => Math.floor(clock.now() / 1000) * 1000;

  const write = (key: string, body: Buffer, condition?: Condition) => {
    const there = objects.get(key);
    if (condition && keepsConditions) {
      const holds = "ifMatch" in condition ? there?.etag === condition.ifMatch : there === undefined;
      if (!holds) throw new ConditionFailed(key);
    }
    const etag = `"${createHash("md5").update(body).digest("hex")}"`;
    objects.set(key, { body, etag, lastModifiedMs: seconds() });
    writes.push({ key, body });
    return { etag };
  };

  const failIfPlanned = (call: StoreCall, when: "before" | "after") => {
    const fault = planned.find(
      (it) => it.times > 0 && it.when === when && (it.op ?? call.op) === call.op && (it.key ?? call.key) === call.key,
    );
    if (!fault) return;
    fault.times -= 1;
    throw fault.error;
  };

  const through = (hooks: StoreHooks): ObjectStore => {
    const call = async <T>(what: StoreCall, effect: () => T | Promise<T>): Promise<T> => {
      failIfPlanned(what, "before");
      await hooks.before?.(what);
      // A refusal is an answer like any other, and can be late or lost like any other.
      const answer = await Promise.resolve()
        .then(effect)
        .then(
          (value) => () => value,
          (error) => () => {
            throw error;
          },
        );
      failIfPlanned(what, "after");
      await hooks.after?.(what);
      return answer();
    };
    return {
      name: "memory://store",
      hasConditions: () => call({ op: "hasConditions", key: "" }, () => keepsConditions),
      get: (key) =>
        call({ op: "get", key }, (): StoredObject | undefined => {
          const found = objects.get(key);
          return found && { ...found, body: Buffer.from(found.body), storeNowMs: seconds() };
        }),
      put: (key, text, condition) => {
        const body = Buffer.from(text);
        return call({ op: "put", key, body, ...(condition ? { condition } : {}) }, () => write(key, body, condition));
      },
      list: (prefix) =>
        call({ op: "list", key: prefix }, () =>
          [...objects]
            .filter(([key]) => key.startsWith(prefix))
            .sort(([a], [b]) => (a < b ? -1 : 1))
            .map(([key, { body, etag, lastModifiedMs }]) => ({ key, bytes: body.length, etag, lastModifiedMs })),
        ),
      delete: (keys) =>
        call({ op: "delete", key: keys[0] ?? "" }, () => {
          for (const key of keys) objects.delete(key);
        }),
      upload: (key, file, transfer) =>
        call({ op: "upload", key }, () => {
          transfer?.signal?.throwIfAborted();
          const body = readFileSync(file);
          write(key, body);
          transfer?.onProgress?.(body.length);
        }),
      download: (key, file, bytes, transfer) =>
        call({ op: "download", key }, async () => {
          transfer?.signal?.throwIfAborted();
          const found = objects.get(key);
          if (found?.body.length !== bytes) {
            const why = found ? `it has ${found.body.length} bytes instead of ${bytes}.` : "there is no such object.";
            throw new UserError("VL_CHECKPOINT_BAD", { what: `${key} is damaged.`, why });
          }
          await writeFile(file, found.body);
          transfer?.onProgress?.(found.body.length);
        }),
    };
  };

  return {
    ...through(options.faults ?? {}),
    objects,
    writes,
    failNext({ op, key, when = "before", times = 1, error = storeDown() }) {
      planned.push({ ...(op ? { op } : {}), ...(key ? { key } : {}), when, times, error });
    },
    json: (key) => {
      const found = objects.get(key);
      return found && JSON.parse(found.body.toString("utf8"));
    },
    view: through,
  };
}
