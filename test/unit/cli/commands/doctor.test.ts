import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, test } from "vitest";
import { command, render, runCheck } from "../../../../cli/commands/doctor.ts";
import { CHECKS } from "../../../../cli/doctor/checks.ts";
import type { Check, CheckContext } from "../../../../cli/doctor/types.ts";
import { systemClock } from "../../../../common/clock.ts";
import { UserError } from "../../../../common/errors.ts";
import { testIo } from "../../../helpers/io.ts";

const context: CheckContext = { ...testIo(), root: "/nowhere" };

describe("vastlane doctor", () => {
  test("prints a line for each check, what to do for each fault, and the sum", () => {
    const text = render([
      { name: "Node", state: "ok", detail: "24.21.0", fix: null },
      { name: "account key", state: "warn", detail: "none", fix: "put it into .env" },
      { name: "rsync", state: "fail", detail: "not installed", fix: "sudo apt-get install -y rsync\nor ask" },
    ]);
    expect(text).toBe(`ok    Node         24.21.0
warn  account key  none
                   -> put it into .env
FAIL  rsync        not installed
                   -> sudo apt-get install -y rsync
                   -> or ask

1 of 3 checks failed.
`);
  });

  test("counts a warning as no failure", () => {
    expect(render([{ name: "x", state: "warn", detail: "y", fix: "z" }])).toMatch(/\nAll that is needed is there\.\n$/);
  });

  test("takes the fix of the finding before that of the check, and none when it is ok", async () => {
    const check = (finding: { state: "ok" | "warn"; fix?: string }) =>
      runCheck({ name: "x", fix: "general", run: () => ({ detail: "d", ...finding }) }, context);
    expect(await check({ state: "warn", fix: "special" })).toEqual({
      name: "x",
      state: "warn",
      detail: "d",
      fix: "special",
    });
    expect(await check({ state: "warn" })).toMatchObject({ fix: "general" });
    expect(await check({ state: "ok" })).toMatchObject({ fix: null });
  });

  test("turns a check that throws into a failure", async () => {
    const run = (error: unknown) => runCheck({ name: "x", fix: "general", run: () => Promise.reject(error) }, context);
    expect(await run(new Error("boom"))).toEqual({ name: "x", state: "fail", detail: "boom", fix: "general" });
    const error = new UserError("VL_NO_KEY", { what: "no key", hint: "get one" });
    expect(await run(error)).toEqual({ name: "x", state: "fail", detail: "no key", fix: "get one" });
  });

  test("names each check once", () => {
    const names = CHECKS.map((check) => check.name);
    expect(new Set(names).size).toBe(names.length);
  });

  test("says on a machine with nothing what is missing and how to get it, as JSON and by its exit code", async () => {
    const env = {
      PATH: "",
      HOME: "/nowhere",
      PULUMI_HOME: "/nowhere",
      VASTLANE_STATE_DIR: "/nowhere",
      VASTLANE_EMULATOR_HOME: "/nowhere",
    };
    const io = testIo({ env });
    expect(await command.run(["--json"], io)).toBe(1);
    const { ok, checks } = JSON.parse(io.out) as {
      ok: boolean;
      checks: { name: string; state: string; fix: string }[];
    };
    expect(ok).toBe(false);
    const failed = checks.filter((check) => check.state === "fail");
    expect(failed.map(({ name, fix }) => [name, fix])).toEqual([
      ["Pulumi engine", "npm run setup"],
      ["Pulumi plugin", "npm run setup"],
      ["emulator key", "npm run setup"],
      ["local stack", "npm run setup"],
    ]);
    expect(checks.filter((check) => check.state === "warn").map(({ name }) => name)).toEqual([
      "your SSH key",
      "account key",
      "checkpoint stores", // the emulator of the local stack does not run
    ]);
  });

  test("tries the account key that is there, and never prints it", async () => {
    const market = createServer((request, response) => {
      const isKnown = request.headers.authorization === "Bearer good-key";
      response.writeHead(isKnown ? 200 : 401, { "content-type": "application/json" });
      response.end(JSON.stringify(isKnown ? { id: 7, credit: 12.5 } : { success: false, error: "auth", msg: "no" }));
    });
    await new Promise<void>((done) => market.listen(0, "127.0.0.1", done));
    try {
      const url = `http://127.0.0.1:${(market.address() as AddressInfo).port}`;
      const check = CHECKS.find(({ name }) => name === "account key") as Check;
      const withKey = (key: string) =>
        runCheck(check, { ...context, clock: systemClock, env: { VASTAI_API_KEY: key, VAST_URL: url } });
      expect(await withKey("good-key")).toEqual({
        name: "account key",
        state: "ok",
        detail: "VASTAI_API_KEY from the environment: account 7, credit $12.50",
        fix: null,
      });
      const refused = await withKey("other-key");
      expect(refused).toMatchObject({ state: "fail", detail: "the market does not accept the account key" });
      expect(JSON.stringify(refused)).not.toContain("other-key");
    } finally {
      market.close();
    }
  });

  test("refuses arguments that it does not know", async () => {
    await expect(command.run(["--fix"], testIo())).rejects.toThrow(
      "VL_USAGE: vastlane doctor does not understand: --fix\n  do:  vastlane doctor --help",
    );
  });
});
