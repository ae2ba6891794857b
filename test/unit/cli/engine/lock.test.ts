import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { recoverLock } from "../../../../cli/engine.ts";
import type { Clock } from "../../../../common/clock.ts";
import { UserError } from "../../../../common/errors.ts";

let root: string;
let locks: string;
const now = Date.parse("2026-11-24T06:30:00Z");
const clock: Clock = { now: () => now, sleep: async () => {} };

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane lock "));
  writeFileSync(join(root, "Pulumi.yaml"), "name: vastlane\n");
  writeFileSync(join(root, "Pulumi.local.yaml"), "config:\n  vastlane:market: emulator\n");
  writeFileSync(join(root, "Pulumi.dev.yaml"), "config:\n  vastlane:market: vast\n");
  locks = join(root, ".vastlane/state/.pulumi/locks/organization/vastlane/local");
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

/** A pid that no process has any more. */
const deadPid = () => spawnSync("true").pid;

function writeLock(holder: { pid: number; hostname?: string; timestamp?: string } | string): string {
  mkdirSync(locks, { recursive: true });
  const path = join(locks, `lock-${readdirSync(locks).length}.json`);
  const whole =
    typeof holder === "string" ? holder : { username: "ada", hostname: hostname(), timestamp: at(0), ...holder };
  writeFileSync(path, typeof whole === "string" ? whole : JSON.stringify(whole));
  writeFileSync(`${path}.attrs`, "{}");
  return path;
}

/** A time so many minutes before now, as lock files write it. */
const at = (minutesAgo: number) => new Date(now - minutesAgo * 60_000).toISOString();

const recover = (stack = "local", env: Record<string, string> = {}) =>
  recoverLock(stack, { root, env: { PATH: "/usr/bin", HOME: root, ...env }, clock });

async function refusal(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  return (error as UserError).message;
}

describe("recoverLock", () => {
  test("has nothing to do when no run ever locked the stack", async () => {
    expect(await recover()).toEqual([]);
  });

  test("removes the lock of a dead process, and says whose it was", async () => {
    const pid = deadPid();
    const path = writeLock({ pid, timestamp: at(3) });
    expect(await recover()).toEqual([{ pid, user: "ada", host: hostname(), since: now - 180_000 }]);
    expect(existsSync(path)).toBe(false);
    expect(readdirSync(locks)).toEqual([]);
  });

  test.runIf(process.platform === "linux")(
    "sees that a live process only reuses the pid of the one that locked",
    async () => {
      writeLock({ pid: process.pid, timestamp: "2020-01-01T00:00:00Z" });
      expect(await recover()).toHaveLength(1);
    },
  );

  test("leaves the lock of a live process alone, and says who holds it since when", async () => {
    const path = writeLock({ pid: process.pid, timestamp: new Date(Date.now() + 1000).toISOString() });
    const text = await refusal(recover());
    expect(text.replace(/since \S+ \S+ UTC, .* ago/, "since WHEN")).toBe(
      `VL_LOCKED: Stack local is being changed by another Pulumi run.
  why: ada@${hostname()} (process ${process.pid}), since WHEN.
  do:  wait for it to end, or end process ${process.pid} and run this again`,
    );
    expect(existsSync(path)).toBe(true);
  });

  test("never judges a process on another host", async () => {
    const path = writeLock({ pid: deadPid(), hostname: "elsewhere", timestamp: at(61) });
    const text = await refusal(recover());
    expect(text.replace(/process \d+/, "process N")).toBe(
      `VL_LOCKED: Stack local is being changed by another Pulumi run.
  why: ada@elsewhere (process N), since 2026-11-24 05:29:00 UTC, 61 minutes ago.
  do:  wait for it to end; if you know that it is dead: eval "$(npx vastlane env local)" && npx pulumi cancel --yes --stack local`,
    );
    expect(existsSync(path)).toBe(true);
  });

  test("waits with a lock file that is being written, and removes one that was never finished", async () => {
    const path = writeLock('{"pid":12');
    utimesSync(path, now / 1000, now / 1000);
    expect(await refusal(recover())).toBe(
      `VL_LOCKED: Stack local is being changed by another Pulumi run.
  why: Its lock file is being written at this moment.
  do:  run this again in a minute`,
    );
    utimesSync(path, now / 1000 - 61, now / 1000 - 61);
    expect(await recover()).toEqual([]);
    expect(existsSync(path)).toBe(false);
  });

  test("removes every dead lock of the stack, and none of another stack", async () => {
    writeLock({ pid: deadPid() });
    writeLock({ pid: deadPid() });
    const other = join(locks, "..", "other");
    mkdirSync(other);
    writeFileSync(join(other, "lock.json"), JSON.stringify({ pid: deadPid(), hostname: hostname(), timestamp: at(1) }));
    expect(await recover()).toHaveLength(2);
    expect(readdirSync(other)).toEqual(["lock.json"]);
  });

  test.each(["s3://bucket", "https://api.pulumi.com", ""])("does nothing for the back end %j", async (url) => {
    expect(await recover("dev", { PULUMI_BACKEND_URL: url })).toEqual([]);
  });

  test.each([
    ["file://~/states", "states"],
    ["file://./states", "states"],
    ["file:///ROOT/my%20states", "my states"],
  ])("reads the folder of a person's own back end %s", async (url, folder) => {
    locks = join(root, folder, ".pulumi/locks/organization/vastlane/dev");
    writeLock({ pid: deadPid() });
    expect(await recover("dev", { PULUMI_BACKEND_URL: url.replace("/ROOT", root) })).toHaveLength(1);
  });
});
