/** The schema of a stack's configuration: its defaults, its messages, and the stacks that ship. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parse } from "yaml";
import { configSchema, machineNames, parseConfig } from "../../../infra/config.ts";

const ROOT = join(import.meta.dirname, "..", "..", "..");

/** The problems that a configuration is told, one a line, without `vastlane:`. */
function problems(raw: Record<string, unknown>): string[] {
  try {
    parseConfig(raw);
    return [];
  } catch (error) {
    return (error as Error).message
      .split("\n")
      .map((line) => line.trim())
      .filter((line) => line.startsWith("vastlane:"))
      .map((line) => line.slice("vastlane:".length));
  }
}

describe("defaults", () => {
  test("an empty configuration is a whole one", () => {
    expect(parseConfig({})).toMatchObject({
      market: "vast",
      mode: "dev",
      gpu: {
        names: [],
        count: 1,
        minCuda: "0",
        minReliability: 0.95,
        verified: true,
        exclude: { machines: [], hosts: [] },
      },
      rental: { type: "interruptible", maxPricePerHour: 1, bid: "auto", onOutbid: "auto" },
      budget: { maxUsd: 10, maxHours: 24, idleMinutes: 30 },
      machine: { diskGB: 40, env: {}, nodes: 1, loadingTimeoutMinutes: 10 },
      checkpoint: { store: "none", s3_bucket: null, keepLast: 3 },
      workspace: { sync: ["."], repo: null, requirements: "requirements.txt" },
      secrets: [],
      ssh: { publicKey: "~/.ssh/id_ed25519.pub", privateKey: null, host: "vastlane-{stack}" },
      experiment: { command: null, onCodeChange: "resume", onParamChange: "fresh" },
    });
  });

  test("a whole configuration is read back as it is", () => {
    const config = parseConfig({
      gpu: { names: ["RTX 4090"] },
      experiment: { command: ["python", "x.py"], params: { a: [1] } },
    });
    expect(parseConfig(config as unknown as Record<string, unknown>)).toEqual(config);
  });

  test("a section that is given in part keeps the other defaults", () => {
    expect(parseConfig({ rental: { bid: 0.3 } }).rental).toEqual({
      type: "interruptible",
      maxPricePerHour: 1,
      bid: 0.3,
      onOutbid: "auto",
    });
  });
});

describe("values as Pulumi hands them over", () => {
  test("structured ones are JSON texts", () => {
    const texts = { gpu: '{"count":2}', secrets: '["HF_TOKEN"]', market: "emulator", mode: "prod" };
    expect(parseConfig(texts)).toMatchObject({
      gpu: { count: 2 },
      secrets: ["HF_TOKEN"],
      market: "emulator",
      mode: "prod",
    });
  });

  test("objects and their texts mean the same", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.boolean(),
        fc.array(fc.constantFrom("RTX 3090", "null")),
        (count, verified, names) => {
          const gpu = { count, verified, names };
          expect(parseConfig({ gpu: JSON.stringify(gpu) })).toEqual(parseConfig({ gpu }));
        },
      ),
    );
  });

  test("a text that is no JSON is told as what it is", () => {
    expect(problems({ gpu: "RTX 4090" })).toEqual(['gpu: wanted a mapping of keys, got "RTX 4090"']);
  });
});

describe("wrong configuration", () => {
  test("is reported all at once, whole", () => {
    const raw = { mode: "test", gpu: { count: 0, namse: ["RTX 4090"] } };
    expect(() => parseConfig(raw, "Pulumi.dev.yaml")).toThrow(`VL_BAD_CONFIG: Pulumi.dev.yaml has 3 problems:
  why: 
           vastlane:mode: wanted "dev" or "prod", got "test"
           vastlane:gpu.count: wanted more than 0, got 0
           vastlane:gpu.namse: unknown key; did you mean names?
  do:  correct the Pulumi.<stack>.yaml file; docs/config.md lists every key with its default`);
  });

  test("a single problem is one", () => {
    expect(() => parseConfig({ mode: 1 })).toThrow("VL_BAD_CONFIG: the stack's configuration has a problem:");
  });

  test.each<[string, Record<string, unknown>, string]>([
    ["a wrong word", { rental: { type: "spot" } }, 'rental.type: wanted "on-demand" or "interruptible", got "spot"'],
    ["one of two kinds", { rental: { bid: "cheap" } }, 'rental.bid: wanted "auto" or a number, got "cheap"'],
    ["a bid of nothing", { rental: { bid: 0 } }, "rental.bid: wanted more than 0, got 0"],
    ["a number as text", { budget: { maxHours: "24" } }, 'budget.maxHours: wanted a number, got "24"'],
    ["a version as number", { gpu: { minCuda: 12.4 } }, "gpu.minCuda: wanted a text, got 12.4"],
    ["a version that is none", { gpu: { minCuda: "new" } }, 'gpu.minCuda: wanted a version such as 12.4, got "new"'],
    ["a fraction of a GPU", { gpu: { count: 0.5 } }, "gpu.count: wanted a whole number, got 0.5"],
    ["too much", { gpu: { minReliability: 95 } }, "gpu.minReliability: wanted at most 1, got 95"],
    ["too little", { machine: { diskGB: 0 } }, "machine.diskGB: wanted at least 1, got 0"],
    ["too many machines", { machine: { nodes: 65 } }, "machine.nodes: wanted at most 64, got 65"],
    [
      "a country in words",
      { gpu: { geolocation: ["SE", "Norway"] } },
      'gpu.geolocation[1]: wanted a two-letter country code, got "Norway"',
    ],
    ["a text for a switch", { gpu: { verified: "yes" } }, 'gpu.verified: wanted true or false, got "yes"'],
    [
      "a text for a list",
      { experiment: { command: "python x.py" } },
      'experiment.command: wanted a list, got "python x.py"',
    ],
    ["an empty command", { experiment: { command: [] } }, "experiment.command: wanted at least 1 item, got []"],
    ["a value in a mapping", { machine: { env: { A: 1 } } }, "machine.env.A: wanted a text, got 1"],
    ["a key that is missing", { workspace: { repo: {} } }, "workspace.repo.url: wanted a text, got nothing"],
    ["an empty section", { gpu: null }, "gpu: wanted a mapping of keys, got null"],
    ["an unknown section", { gpus: {} }, "gpus: unknown key; did you mean gpu?"],
    [
      "an unknown key",
      { rental: { maxPrice: 1 } },
      "rental.maxPrice: unknown key; known: type, maxPricePerHour, bid, onOutbid",
    ],
    [
      "an unknown key, far down",
      { gpu: { exclude: { machnes: [] } } },
      "gpu.exclude.machnes: unknown key; did you mean machines?",
    ],
    [
      "a secret's name with blanks",
      { secrets: ["HF TOKEN"] },
      'secrets[0]: wanted a name such as HF_TOKEN, got "HF TOKEN"',
    ],
  ])("%s", (_what, raw, problem) => {
    expect(problems(raw)).toEqual([problem]);
  });

  test("an unknown key inside a list", () => {
    expect(problems({ workspace: { data: [{ from: "s3://b", too: "/data" }] } })).toEqual([
      "workspace.data[0].to: wanted a text, got nothing",
      "workspace.data[0].too: unknown key; did you mean to?",
    ]);
  });

  test("whatever comes is refused in words, never with a fault of ours", () => {
    const sections = fc.constantFrom(...Object.keys(configSchema.shape), "other");
    fc.assert(
      fc.property(fc.dictionary(sections, fc.jsonValue()), (raw) => {
        try {
          parseConfig(raw);
        } catch (error) {
          expect(error).toMatchObject({ name: "UserError", code: "VL_BAD_CONFIG" });
          expect((error as Error).message).not.toMatch(/undefined|\[object/);
        }
      }),
    );
  });
});

describe("secrets", () => {
  test("values that vastlane:secrets names may stand beside the schema's keys", () => {
    expect(parseConfig({ secrets: ["HF_TOKEN"], HF_TOKEN: "hf_x" }).secrets).toEqual(["HF_TOKEN"]);
    expect(parseConfig({ secrets: '["HF_TOKEN"]', HF_TOKEN: { secure: "v1:x" } })).not.toHaveProperty("HF_TOKEN");
    expect(problems({ HF_TOKEN: "hf_x" })[0]).toMatch(/^HF_TOKEN: unknown key/);
  });

  test("one that is named like a section does not hide the section", () => {
    expect(problems({ secrets: ["gpu"], gpu: { count: 0 } })).toEqual(["gpu.count: wanted more than 0, got 0"]);
  });

  test.each(["apiKey", "api_key", "vastApiKey", "VAST_API_KEY", "VASTAI_API_KEY", "vastaiApiKey"])(
    "the account key has no place in the configuration: %s, also where vastlane:secrets names it",
    (name) => {
      const text =
        "the account key must not be in the configuration, as Pulumi would copy it into the state; set VASTAI_API_KEY in the environment or in .env";
      expect(problems({ [name]: "sekret" })).toEqual([`${name}: ${text}`]);
      expect(problems({ secrets: [name], [name]: "sekret" })).toContain(`${name}: ${text}`);
    },
  );

  test.each(["VAST_API_KEY", "VASTAI_API_KEY", "vast_api_key"])(
    "%s never goes to a rented machine, and its value is not repeated",
    (name) => {
      const raw = {
        secrets: [name],
        machine: { env: { [name]: "sekret" } },
        experiment: { env: { [name]: "sekret" } },
      };
      const text = "wanted another name: the account key never goes to a rented machine";
      expect(problems(raw)).toEqual([
        `machine.env.${name}: ${text}`,
        `secrets[0]: ${text}, got "${name}"`,
        `experiment.env.${name}: ${text}`,
      ]);
      expect(problems(raw).join()).not.toContain("sekret");
    },
  );
});

test("machines are main, then node1, node2 and so on, so that a stack grows and shrinks in place", () => {
  const names = (nodes: number) => machineNames(parseConfig({ machine: { nodes } }));
  expect(names(1)).toEqual(["main"]);
  expect(names(3)).toEqual(["main", "node1", "node2"]);
});

describe("the stacks that ship", () => {
  const files = readdirSync(ROOT).filter((name) => /^Pulumi\.\w+\.yaml$/.test(name));
  const read = (file: string) => {
    const { config } = parse(readFileSync(join(ROOT, file), "utf8")) as { config: Record<string, unknown> };
    return parseConfig(
      Object.fromEntries(Object.entries(config).map(([key, value]) => [key.replace("vastlane:", ""), value])),
    );
  };

  test("are three, and right", () => {
    expect(files).toEqual(["Pulumi.dev.yaml", "Pulumi.local.yaml", "Pulumi.prod.yaml"]);
    for (const file of files) expect(() => read(file)).not.toThrow();
  });

  test("dev is small and cheap with nothing started, prod is the full run, local costs nothing", () => {
    const [dev, local, prod] = files.map(read);
    expect(dev).toMatchObject({ market: "vast", mode: "dev", experiment: { command: null } });
    expect(prod).toMatchObject({ market: "vast", mode: "prod", rental: { type: "on-demand" } });
    expect(prod?.experiment.command).not.toBeNull();
    expect(prod?.rental.maxPricePerHour).toBeGreaterThan(dev?.rental.maxPricePerHour ?? 0);
    expect(local).toMatchObject({ market: "emulator" });
  });
});

describe("checkpoint", () => {
  const bad = (checkpoint: object) => problems({ checkpoint });
  const WITH = { store: "s3", s3_bucket: "my-bucket" };

  test("a store needs a bucket, and without a store there may be none", () => {
    expect(bad({ store: "s3" })).toEqual([
      "checkpoint.s3_bucket: wanted the name of a bucket, because store is s3, got nothing",
    ]);
    expect(bad({ store: "none" })).toEqual([]);
    expect(bad(WITH)).toEqual([]);
  });

  test("a bucket's name follows the rules of S3, which are told", () => {
    expect(bad({ ...WITH, s3_bucket: "My_Bucket" })).toEqual([
      'checkpoint.s3_bucket: wanted a bucket name: 3 to 63 characters of a-z, 0-9, - and ., a letter or digit at either end, no two dots together, no IP address, none of S3\'s reserved beginnings and endings (xn--, -s3alias ...), got "My_Bucket"',
    ]);
  });

  test.each([
    [{ s3_prefix: "a/*" }, "s3_prefix: wanted a prefix such as checkpoints/dev"],
    [{ endpoint: "s3.example.com" }, "endpoint: wanted an address such as https://s3.example.com"],
    [{ endpoint: "https://me:pw@s3.example.com" }, "endpoint: wanted an address such as"],
    [{ endpoint: "https://s3.example.com/path" }, "endpoint: wanted an address such as"],
    [{ region: "Frankfurt" }, "region: wanted a region such as eu-central-1"],
    [{ store: "aws", endpoint: "https://s3.example.com" }, "endpoint: wanted null with store: aws"],
    [{ keepRemote: 0 }, "keepRemote: wanted more than 0"],
  ])("%j is refused", (checkpoint, problem) => {
    const [only = "", ...more] = bad({ ...WITH, ...checkpoint });
    expect(more).toEqual([]);
    expect(only.slice(0, problem.length + 11)).toBe(`checkpoint.${problem}`);
  });
});
