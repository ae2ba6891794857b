/** What the real SDK makes of a store that answers wrongly, late or not at all: nothing cheaper sends real requests. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type OpenStore, openStore, type StoreAccess, type StoreOptions } from "../../../runtime/store/index.ts";
import { fakeClock } from "../../helpers/fake-clock.ts";
import { etagOf, type StubRequest, type StubS3, sendError, startStubS3 } from "../../helpers/stub-s3.ts";

const MiB = 1 << 20;

let dir: string;
let stub: StubS3;
let stores: OpenStore[];
beforeEach(async () => {
  dir = mkdtempSync(join(tmpdir(), "vastlane-store-"));
  stub = await startStubS3();
  stores = [];
});
afterEach(async () => {
  for (const store of stores) store.close();
  await stub.close();
  rmSync(dir, { recursive: true, force: true });
});

/** Waits of small requests take no time. */
function open(more: Partial<StoreAccess> = {}, options: StoreOptions = {}): OpenStore {
  const access = { endpoint: stub.endpoint, region: "us-east-1", bucket: stub.bucket, prefix: "dev/run" };
  const keys = { accessKeyId: "key", secretAccessKey: "secret" };
  const store = openStore({ ...access, ...keys, ...more }, { clock: fakeClock(), random: () => 0, ...options });
  stores.push(store);
  return store;
}

/** Answers the next requests that fit, one after the other, with what is given. */
function next(
  fits: (request: StubRequest) => boolean,
  ...acts: ((response: ServerResponse, request: StubRequest) => boolean | undefined)[]
) {
  stub.intercept = (request, response) => {
    const act = fits(request) ? acts.shift() : undefined;
    return act ? (act(response, request) ?? true) : false;
  };
}
const isPut = ({ method }: StubRequest) => method === "PUT";
const isGet = ({ method }: StubRequest) => method === "GET";
const cut = (response: ServerResponse) => void response.socket?.destroy();

describe("small objects", () => {
  test("come back with their ETag and the store's own times, and keys below the prefix", async () => {
    const store = open();
    const { etag } = await store.put("a.json", "{}");
    expect([...stub.objects.keys()]).toEqual(["dev/run/a.json"]);
    const found = await store.get("a.json");
    expect(found).toMatchObject({ body: Buffer.from("{}"), etag });
    expect(found?.storeNowMs).toBe(found?.lastModifiedMs);
    expect(await store.get("b.json")).toBeUndefined();
    expect(store.name).toBe("s3://runs/dev/run");
  });

  test("that are missing are missing also where the store calls that a refusal, as AWS does to keys of one prefix", async () => {
    const store = open();
    const refuse = (response: ServerResponse) => void sendError(response, 403, "AccessDenied");
    const isRead = ({ method, key }: StubRequest) => method === "GET" && key !== "";
    next(isRead, refuse);
    expect(await store.get("lease.json")).toBeUndefined();
    await store.put("lease.json", "{}");
    next(isRead, refuse);
    await expect(store.get("lease.json")).rejects.toMatchObject({ code: "VL_STORE_DENIED" });
    next(({ method }) => method === "GET", refuse, refuse);
    await expect(store.get("other.json")).rejects.toMatchObject({ code: "VL_STORE_DENIED" });
  });

  test("are listed over all pages, and deleted", async () => {
    stub.pageSize = 2;
    const store = open();
    for (const key of ["a/1", "a/2", "a/3", "b/1"]) await store.put(key, key);
    stub.objects.set("dev/running/1", Buffer.from(""));
    expect((await store.list("a/")).map(({ key }) => key)).toEqual(["a/1", "a/2", "a/3"]);
    await store.delete(["a/1", "a/2", "never"]);
    expect((await store.list("")).map(({ key }) => key)).toEqual(["a/3", "b/1"]);
  });

  test("a bucket's root is a prefix too", async () => {
    const store = open({ prefix: "" });
    await store.put("a", "A");
    expect((await store.list("")).map(({ key }) => key)).toEqual(["a"]);
  });

  test.each<[string, (response: ServerResponse) => void]>([
    ["500", (response) => sendError(response, 500, "InternalError")],
    ["503 SlowDown", (response) => sendError(response, 503, "SlowDown")],
    ["a reset", (response) => cut(response)],
    [
      "a cut body",
      (response) => {
        response.writeHead(200, { "content-length": 100 });
        response.write("half");
        setImmediate(() => response.socket?.destroy());
      },
    ],
  ])("are asked for again after %s", async (_what, fault) => {
    const store = open();
    await store.put("a.json", "{}");
    const act = (response: ServerResponse) => void fault(response);
    next(isGet, act, act);
    expect((await store.get("a.json"))?.body.toString()).toBe("{}");
  });

  test("a store that stays down is said, in bounded time", async () => {
    stub.intercept = (_request, response) => {
      sendError(response, 500, "InternalError");
      return true;
    };
    const clock = fakeClock();
    await expect(open({}, { clock }).get("a.json")).rejects.toMatchObject({ code: "VL_STORE_DOWN" });
    expect(clock.passed()).toBeLessThanOrEqual(20_000);
    expect(stub.requests.length).toBeGreaterThan(5);
  });

  test("a store that never answers is given up on", async () => {
    stub.intercept = () => true;
    await expect(open({}, { requestMs: 50, retryMs: 0 }).get("a.json")).rejects.toMatchObject({
      code: "VL_STORE_DOWN",
    });
  });
});

describe("conditional writes", () => {
  test("are refused when somebody was faster", async () => {
    const store = open();
    const { etag } = await store.put("a.json", "1", { ifNoneMatch: "*" });
    await expect(store.put("a.json", "2", { ifNoneMatch: "*" })).rejects.toMatchObject({
      name: "ConditionFailed",
      key: "a.json",
    });
    await store.put("a.json", "2", { ifMatch: etag });
    await expect(store.put("a.json", "3", { ifMatch: etag })).rejects.toMatchObject({ name: "ConditionFailed" });
  });

  test("a lost reply is found out: our own success is no refusal", async () => {
    const store = open();
    next(isPut, (response, { body }) => {
      stub.objects.set("dev/run/a.json", body);
      cut(response);
      return true;
    });
    expect(await store.put("a.json", "mine", { ifNoneMatch: "*" })).toEqual({ etag: etagOf(Buffer.from("mine")) });
  });

  test("a lost reply behind which somebody else has written is a refusal", async () => {
    const store = open();
    next(isPut, (response) => {
      stub.objects.set("dev/run/a.json", Buffer.from("theirs"));
      cut(response);
      return true;
    });
    await expect(store.put("a.json", "mine", { ifNoneMatch: "*" })).rejects.toMatchObject({ name: "ConditionFailed" });
  });

  test("a refusal without a lost reply is one, also for equal bytes", async () => {
    const store = open();
    await store.put("a.json", "same");
    await expect(store.put("a.json", "same", { ifNoneMatch: "*" })).rejects.toMatchObject({ name: "ConditionFailed" });
    next(isPut, (response) => void sendError(response, 503, "SlowDown"));
    await expect(store.put("a.json", "same", { ifNoneMatch: "*" })).rejects.toMatchObject({ name: "ConditionFailed" });
  });

  test("a collision that AWS reports as a conflict is tried again", async () => {
    const store = open();
    next(isPut, (response) => void sendError(response, 409, "ConditionalRequestConflict"));
    await store.put("a.json", "mine", { ifNoneMatch: "*" });
    expect(stub.objects.get("dev/run/a.json")?.toString()).toBe("mine");
  });

  test("a store that keeps them is known after one look, which leaves nothing behind", async () => {
    const store = open();
    expect(await store.hasConditions()).toBe(true);
    const asked = stub.requests.length;
    expect(await store.hasConditions()).toBe(true);
    expect(stub.requests).toHaveLength(asked);
    expect(stub.objects.size).toBe(0);
  });

  test.each<[string, (request: StubRequest, response: ServerResponse) => boolean]>([
    [
      "ignores them",
      (request) => {
        delete request.headers["if-match"];
        delete request.headers["if-none-match"];
        return false;
      },
    ],
    [
      "does not know them",
      (request, response) => {
        if (!request.headers["if-match"] && !request.headers["if-none-match"]) return false;
        sendError(response, 501, "NotImplemented");
        return true;
      },
    ],
    [
      "knows only half of them",
      (request) => {
        delete request.headers["if-match"];
        return false;
      },
    ],
  ])("a store that %s is known as well", async (_what, intercept) => {
    stub.intercept = intercept;
    expect(await open().hasConditions()).toBe(false);
  });

  test("a failed look is not remembered", async () => {
    const store = open({}, { retryMs: 0 });
    next(isPut, (response) => void sendError(response, 500, "InternalError"));
    await expect(store.hasConditions()).rejects.toMatchObject({ code: "VL_STORE_DOWN" });
    expect(await store.hasConditions()).toBe(true);
  });
});

describe("what people read", () => {
  test.each<[string, number, string, string, string]>([
    ["wrong keys", 403, "SignatureDoesNotMatch", "", "VL_STORE_DENIED"],
    ["expired keys", 400, "ExpiredToken", "", "VL_STORE_DENIED"],
    ["a missing bucket", 404, "NoSuchBucket", "", "VL_STORE_NO_BUCKET"],
    ["another region", 400, "AuthorizationHeaderMalformed", "<Region>eu-west-1</Region>", "VL_STORE_REGION"],
    ["a wrong clock", 403, "RequestTimeTooSkewed", "", "VL_STORE_CLOCK"],
    ["a full store", 507, "InsufficientStorage", "", "VL_DISK_FULL"],
  ])("%s", async (_what, status, code, more, expected) => {
    stub.intercept = ({ method }, response) => {
      sendError(response, status, code, method === "HEAD", more);
      return true;
    };
    const store = open({}, { retryMs: 0 });
    writeFileSync(join(dir, "file"), "x");
    await expect(store.get("a")).rejects.toMatchObject({ code: expected });
    await expect(store.put("a", "A", { ifNoneMatch: "*" })).rejects.toMatchObject({ code: expected });
    await expect(store.upload("a", join(dir, "file"))).rejects.toMatchObject({ code: expected });
  });

  test("the right region is named", async () => {
    stub.intercept = (_request, response) => {
      sendError(response, 400, "AuthorizationHeaderMalformed", false, "<Region>eu-west-1</Region>");
      return true;
    };
    await expect(open().get("a")).rejects.toThrow("set vastlane:checkpoint.region (or AWS_REGION) to eu-west-1");
  });

  test("a wrong clock is corrected once from the store's answer", async () => {
    const store = open();
    await store.put("a.json", "{}");
    next(isGet, (response) => {
      response.setHeader("date", new Date(Date.now() + 3_600_000).toUTCString());
      sendError(response, 403, "RequestTimeTooSkewed");
      return true;
    });
    expect((await store.get("a.json"))?.body.toString()).toBe("{}");
    const signedAt = stub.requests.at(-1)?.headers["x-amz-date"]?.toString() ?? "";
    const signed = Date.parse(signedAt.replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, "$1-$2-$3T$4:$5:$6Z"));
    expect(signed - Date.now()).toBeGreaterThan(3_000_000);
  });

  test("no answer at all", async () => {
    const { endpoint } = stub;
    await stub.close();
    await expect(open({ endpoint }).get("a")).rejects.toThrow("connect ECONNREFUSED");
  });

  test("no keys anywhere", async () => {
    const names = ["AWS_ACCESS_KEY_ID", "AWS_PROFILE", "HOME", "AWS_EC2_METADATA_DISABLED", "AWS_CONFIG_FILE"] as const;
    const before = names.map((name) => process.env[name]);
    for (const name of names) delete process.env[name];
    Object.assign(process.env, { HOME: dir, AWS_EC2_METADATA_DISABLED: "true", AWS_CONFIG_FILE: join(dir, "none") });
    try {
      const store = open({ accessKeyId: null, secretAccessKey: null });
      await expect(store.get("a")).rejects.toMatchObject({ code: "VL_STORE_NO_KEY" });
    } finally {
      for (const [i, name] of names.entries()) {
        if (before[i] === undefined) delete process.env[name];
        else process.env[name] = before[i];
      }
    }
  });
});

describe("files", () => {
  const content = (bytes: number) => Buffer.from(Array.from({ length: bytes / 4 }, (_, i) => i)).subarray(0, bytes);
  const big = () => {
    const bytes = Buffer.alloc(20 * MiB + 7);
    for (let i = 0; i < bytes.length; i += 4096) bytes.writeUInt32LE(i, Math.min(i, bytes.length - 4));
    return bytes;
  };
  const write = (bytes: Buffer) => {
    writeFileSync(join(dir, "file"), bytes);
    return join(dir, "file");
  };

  test("a small one is one request", async () => {
    await open().upload("a", write(content(1000)));
    expect(stub.requests.map(({ method }) => method)).toEqual(["PUT"]);
    expect(stub.objects.get("dev/run/a")?.equals(content(1000))).toBe(true);
  });

  test("an empty one goes there and back", async () => {
    const store = open();
    await store.upload("a", write(Buffer.alloc(0)));
    await store.download("a", join(dir, "out"), 0);
    expect(readFileSync(join(dir, "out"))).toHaveLength(0);
  });

  test("a large one goes in parts, each signed with its hash, and leaves no notes", async () => {
    const bytes = big();
    const sizes: number[] = [];
    await open().upload("a", write(bytes), { onProgress: (sent) => sizes.push(sent) });
    expect(stub.objects.get("dev/run/a")?.equals(bytes)).toBe(true);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(bytes.length);
    const parts = stub.requests.filter(isPut);
    expect(parts).toHaveLength(3);
    for (const { headers } of parts) expect(headers["x-amz-content-sha256"]).toMatch(/^[0-9a-f]{64}$/);
    expect(readdirSync(dir)).toEqual(["file"]);
  });

  test("an upload that failed goes on with the parts that are there", async () => {
    const bytes = big();
    const file = write(bytes);
    stub.intercept = ({ query }, response) => {
      if (query.get("partNumber") !== "3") return false;
      // Later than the others, so that they are noted.
      setTimeout(() => sendError(response, 403, "AccessDenied"), 300);
      return true;
    };
    await expect(open().upload("a", file)).rejects.toMatchObject({ code: "VL_STORE_DENIED" });
    expect(existsSync(`${file}.upload`)).toBe(true);
    stub.intercept = undefined;
    stub.requests.length = 0;
    await open().upload("a", file);
    expect(stub.requests.filter(isPut)).toHaveLength(1);
    expect(stub.objects.get("dev/run/a")?.equals(bytes)).toBe(true);
  });

  test("an upload that the bucket's lifecycle has given up begins again", async () => {
    const file = write(big());
    next(
      ({ query }) => query.has("uploadId"),
      (response) => void sendError(response, 404, "NoSuchUpload"),
    );
    await open().upload("a", file);
    expect(stub.objects.get("dev/run/a")?.equals(big())).toBe(true);
  });

  test("a completion whose answer was lost is found out", async () => {
    const file = write(big());
    stub.intercept = ({ method, query }, response) => {
      if (method !== "POST" || !query.has("uploadId")) return false;
      stub.objects.set("dev/run/a", big());
      sendError(response, 404, "NoSuchUpload");
      return true;
    };
    await open().upload("a", file);
    expect(stub.requests.at(-1)?.method).toBe("HEAD");
  });

  test("a download comes whole, over few connections, and leaves no notes", async () => {
    const bytes = Buffer.concat([big(), big(), big(), big(), big()]);
    stub.objects.set("dev/run/a", bytes);
    const arrived: number[] = [];
    const sizes: number[] = [];
    await open().download("a", join(dir, "out"), bytes.length, {
      onProgress: (got) => sizes.push(got),
      onArrived: (_path, upTo) => void arrived.push(upTo),
    });
    expect(readFileSync(join(dir, "out")).equals(bytes)).toBe(true);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(bytes.length);
    expect(arrived).toEqual([...arrived].sort((a, b) => a - b));
    expect(arrived.at(-1)).toBe(bytes.length);
    expect(stub.requests.filter(isGet)).toHaveLength(7);
    expect(stub.connections()).toBeLessThanOrEqual(5);
    expect(readdirSync(dir)).toEqual(["out"]);
  });

  const isRange = ({ method, headers }: StubRequest) => method === "GET" && headers.range !== undefined;
  test.each<[string, (response: ServerResponse, request: StubRequest) => boolean | undefined]>([
    ["a reset", (response) => void cut(response)],
    ["500", (response) => void sendError(response, 500, "InternalError")],
    ["503 SlowDown", (response) => void sendError(response, 503, "SlowDown")],
    [
      "a body that is cut",
      (response) => {
        response.writeHead(206, { "content-length": 16 * MiB });
        response.write(Buffer.alloc(MiB));
        setTimeout(() => response.socket?.destroy(), 20);
        return true;
      },
    ],
    [
      "an answer that comes chunked",
      (response, { headers }) => {
        const [from, to] = (/(\d+)-(\d+)/.exec(headers.range ?? "") ?? []).slice(1).map(Number);
        response.writeHead(206, { "transfer-encoding": "chunked" });
        response.end(big().subarray(from, (to ?? 0) + 1));
        return true;
      },
    ],
    [
      "a connection that is closed after each answer",
      (response) => {
        response.setHeader("connection", "close");
        return false;
      },
    ],
    [
      "nothing but a head",
      (response) => {
        response.writeHead(206, { "content-length": 16 * MiB }).flushHeaders();
        setTimeout(() => response.socket?.destroy(), 20);
        return true;
      },
    ],
  ])("a download gets over %s", async (_what, fault) => {
    const bytes = big();
    stub.objects.set("dev/run/a", bytes);
    next(isRange, fault, fault);
    await open().download("a", join(dir, "out"), bytes.length);
    expect(readFileSync(join(dir, "out")).equals(bytes)).toBe(true);
  });

  test("a download on which nothing moves is given up and tried again", async () => {
    stub.objects.set("dev/run/a", big());
    next(isRange, (response) => {
      response.writeHead(206, { "content-length": 16 * MiB });
      response.write(Buffer.alloc(1000));
      return true;
    });
    await open({}, { idleMs: 200 }).download("a", join(dir, "out"), big().length);
    expect(readFileSync(join(dir, "out")).equals(big())).toBe(true);
  });

  test("a download that failed goes on with the parts that are there", async () => {
    const bytes = Buffer.concat([big(), big()]);
    stub.objects.set("dev/run/a", bytes);
    stub.intercept = ({ headers }, response) => {
      if (!headers.range?.startsWith(`bytes=${32 * MiB}-`)) return false;
      // Later than the others, so that they are noted.
      setTimeout(() => sendError(response, 403, "AccessDenied"), 300);
      return true;
    };
    await expect(open().download("a", join(dir, "out"), bytes.length)).rejects.toMatchObject({
      code: "VL_STORE_DENIED",
    });
    expect(existsSync(join(dir, "out"))).toBe(false);
    stub.intercept = undefined;
    stub.requests.length = 0;
    await open().download("a", join(dir, "out"), bytes.length);
    expect(readFileSync(join(dir, "out")).equals(bytes)).toBe(true);
    expect(stub.requests.filter(isRange)).toHaveLength(1);
  });

  test("parts of an object that was replaced meanwhile are not mixed with the new one's", async () => {
    const [old, fresh] = [big(), big().fill(1)];
    stub.objects.set("dev/run/a", old);
    stub.intercept = ({ headers }) => {
      if (headers.range?.startsWith(`bytes=${16 * MiB}-`)) stub.objects.set("dev/run/a", fresh);
      return false;
    };
    await open().download("a", join(dir, "out"), old.length);
    expect(readFileSync(join(dir, "out")).equals(fresh)).toBe(true);
  });

  test("an object that is missing or of another length is said to be damaged", async () => {
    await expect(open().download("a", join(dir, "out"), 5)).rejects.toMatchObject({ code: "VL_CHECKPOINT_BAD" });
    stub.objects.set("dev/run/a", Buffer.from("four"));
    await expect(open().download("a", join(dir, "out"), 5)).rejects.toMatchObject({
      code: "VL_CHECKPOINT_BAD",
      why: "it has 4 bytes instead of 5.",
    });
  });

  test("an abort ends a transfer with its reason", async () => {
    stub.objects.set("dev/run/a", big());
    stub.intercept = () => true;
    const controller = new AbortController();
    const download = open().download("a", join(dir, "out"), big().length, { signal: controller.signal });
    const upload = open().upload("b", write(big()), { signal: controller.signal });
    setTimeout(() => controller.abort(new Error("not wanted")), 50);
    await expect(download).rejects.toThrow("not wanted");
    await expect(upload).rejects.toThrow("not wanted");
  });
});
