import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { pulumiEnv, pulumiVariables, stackMarket, stackNames } from "../../../../cli/engine.ts";
import { projectRoot } from "../../../../cli/project.ts";

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "vastlane env "));
  writeFileSync(join(root, "Pulumi.yaml"), "name: vastlane\n");
  writeFileSync(join(root, "Pulumi.local.yaml"), "config:\n  vastlane:market: emulator\n");
  writeFileSync(join(root, "Pulumi.dev.yaml"), "config:\n  vastlane:mode: dev\n");
});

afterEach(() => rmSync(root, { recursive: true, force: true }));

const variables = (stack: string, env: Record<string, string> = {}) =>
  pulumiVariables(stack, { root, env: { HOME: "/home/ada", PATH: "/usr/bin:/bin", ...env } });

describe("the environment of a stack", () => {
  test("on the emulated market is a folder of the project with an empty passphrase, whatever the person has set", () => {
    const mine = {
      PULUMI_BACKEND_URL: "s3://work",
      PULUMI_CONFIG_PASSPHRASE: "x",
      PULUMI_CONFIG_PASSPHRASE_FILE: "/p",
    };
    const { set, unset } = variables("local", mine);
    expect(set.PULUMI_BACKEND_URL).toBe(`file://${root.replaceAll(" ", "%20")}/.vastlane/state?metadata=skip`);
    expect(set.PULUMI_CONFIG_PASSPHRASE).toBe("");
    expect(unset).toEqual(["PULUMI_CONFIG_PASSPHRASE_FILE"]);
    expect(pulumiEnv("local", { root, env: mine })).not.toHaveProperty("PULUMI_CONFIG_PASSPHRASE_FILE");
  });

  test("on the real market leaves back end and passphrase to the person", () => {
    const { set, unset } = variables("dev", { PULUMI_BACKEND_URL: "s3://work" });
    expect(Object.keys(set)).not.toContain("PULUMI_BACKEND_URL");
    expect(Object.keys(set)).not.toContain("PULUMI_CONFIG_PASSPHRASE");
    expect(pulumiEnv("dev", { root, env: { PULUMI_BACKEND_URL: "s3://work" } }).PULUMI_BACKEND_URL).toBe("s3://work");
    expect(unset).toEqual([]);
  });

  test("puts the pinned engine and the Node that runs TypeScript first on PATH, each once however often", () => {
    const once = variables("local").set.PATH ?? "";
    expect(once.split(":")).toEqual([
      "/home/ada/.pulumi/versions/3.259.0/bin",
      join(root, "node_modules/.bin"),
      join(projectRoot, "node_modules/.bin"),
      "/usr/bin",
      "/bin",
    ]);
    expect(variables("local", { PATH: once }).set.PATH).toBe(once);
  });

  test("moves with PULUMI_HOME and VASTLANE_STATE_DIR", () => {
    const { set } = variables("local", { PULUMI_HOME: "/opt/pulumi", VASTLANE_STATE_DIR: "/var/vl" });
    expect(set.PULUMI_HOME).toBe("/opt/pulumi");
    expect(set.PATH).toMatch(/^\/opt\/pulumi\/versions\/3\.259\.0\/bin:/);
    expect(set.PULUMI_BACKEND_URL).toBe("file:///var/vl/state?metadata=skip");
  });

  test("passes everything else through", () => {
    const env = pulumiEnv("local", { root, env: { PATH: "/bin", VASTLANE_TEST: "1", LANG: "C", NOTHING: undefined } });
    expect(env).toMatchObject({ VASTLANE_TEST: "1", LANG: "C", PULUMI_STACK: "local" });
    expect(env).not.toHaveProperty("NOTHING");
  });

  test("with VASTLANE_ENGINE=path is led by the pulumi on PATH, which is never npm's launcher", () => {
    const mine = join(root, "mine");
    const npm = join(root, "node_modules/.bin");
    for (const folder of [mine, npm]) {
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, "pulumi"), "#!/bin/sh\n", { mode: 0o755 });
    }
    const { set } = variables("local", { VASTLANE_ENGINE: "path", PATH: `${npm}:${mine}:/bin` });
    expect(set.PATH?.split(":")[0]).toBe(mine);
  });

  test.each([
    [
      { VASTLANE_ENGINE: "path", PATH: "/nowhere" },
      `VL_ENGINE_MISSING: There is no pulumi on PATH.
  why: VASTLANE_ENGINE=path asks for it in place of the pinned engine.
  do:  unset VASTLANE_ENGINE to use Pulumi 3.259.0, or install Pulumi`,
    ],
    [
      { VASTLANE_ENGINE: "system" },
      `VL_USAGE: VASTLANE_ENGINE is "system".
  why: Only "path" is known: use the pulumi on PATH in place of the pinned engine.
  do:  unset VASTLANE_ENGINE, or set it to path`,
    ],
  ])("refuses %j with a reason", (env, text) => {
    expect(() => variables("local", env)).toThrow(text);
  });
});

describe("stacks", () => {
  test("are the files beside Pulumi.yaml", () => {
    expect(stackNames(root)).toEqual(["dev", "local"]);
  });

  test("rent on the market that their file names, on the real one by default", () => {
    expect(stackMarket("local", root)).toBe("emulator");
    expect(stackMarket("dev", root)).toBe("vast");
    expect(stackMarket("none", root)).toBeUndefined();
  });

  test("whose file is not YAML are refused by name", () => {
    writeFileSync(join(root, "Pulumi.bad.yaml"), "config: [\n");
    expect(() => stackMarket("bad", root)).toThrow(/^VL_BAD_CONFIG: Pulumi\.bad\.yaml is not valid YAML\.\n {2}why: /);
  });

  test("that ship for the emulated market bring the salt of the empty passphrase, so that git sees no change", async () => {
    const { readFile } = await import("node:fs/promises");
    expect(await readFile(join(projectRoot, "Pulumi.local.yaml"), "utf8")).toMatch(/^encryptionsalt: v1:/m);
  });
});
