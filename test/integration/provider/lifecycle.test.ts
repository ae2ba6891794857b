/**
 * The provider under the real engine: what unit tests of the lifecycle cannot show is how state, plugin and engine
 * work together. One emulator and one stack per block; each block ends with nothing alive.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect } from "vitest";
import { engineTest as test } from "../../helpers/engine-test.ts";
import { makeProject, type TestProject } from "../../helpers/project.ts";

const UP = ["up", "--yes", "--skip-preview"];
const DESTROY = ["destroy", "--yes", "--skip-preview"];
const REFRESH = ["refresh", "--yes", "--skip-preview"];

let project: TestProject;
beforeAll(async () => {
  project = await makeProject();
});
afterAll(() => project?.dispose());

async function ok(run: Promise<{ code: number; stdout: string; stderr: string }>): Promise<string> {
  const { code, stdout, stderr } = await run;
  expect(code, stdout + stderr).toBe(0);
  return stdout;
}

/** The one contract that exists. */
async function only(): Promise<number> {
  const alive = await project.alive();
  expect(alive).toHaveLength(1);
  return alive[0] as number;
}

describe("one machine", () => {
  beforeAll(async () => {
    project.configure({});
    await ok(project.pulumi(UP));
  });
  afterAll(async () => {
    await project.market.clearFaults();
    await ok(project.pulumi(DESTROY));
    expect(await project.alive()).toEqual([]);
  });
  afterEach(() => project.market.clearFaults());

  test("an unchanged up changes nothing, and a preview names the price without being a diff", async () => {
    const before = await only();
    const up = await ok(project.pulumi(UP));
    expect(up).toMatch(/\d+ unchanged/);
    expect(up).not.toMatch(/updated|created|replaced/);
    const preview = await ok(project.pulumi(["preview"]));
    expect(preview).toMatch(/main: contract \d+, 1x RTX \d+, running, \$0\.\d+\/h/);
    expect(preview).toMatch(/\d+ unchanged/);
    expect(await only()).toBe(before);
  });

  test("the state holds neither the account key nor a private key, also with --show-secrets", async () => {
    const state = await ok(project.pulumi(["stack", "export", "--show-secrets"]));
    expect(state).toContain('"contractId"');
    expect(state).not.toContain(project.emulator.apiKey);
    const privateKey = readFileSync(join(project.root, ".vastlane/ssh/id_ed25519"), "utf8");
    expect(state).not.toContain(privateKey.split("\n")[2]);
    expect(state).not.toMatch(/PRIVATE KEY|instance_api_key|CONTAINER_API_KEY=/);
  });

  test("the state holds shims, so a change of the provider's code touches no resource", async () => {
    const exported = JSON.parse(await ok(project.pulumi(["stack", "export"])));
    const ours = exported.deployment.resources.filter(({ type }: { type: string }) =>
      type.includes("dynamic/vastlane"),
    );
    expect(ours.length).toBe(2);
    for (const { inputs } of ours) {
      expect(inputs.__provider.length).toBeLessThan(4500);
      // Another build of the shim in state: as if the code had been changed since.
      inputs.__provider = `${inputs.__provider}\n// an older build`;
    }
    const file = join(project.root, ".vastlane/state.json"); // not part of the project that is sent
    writeFileSync(file, JSON.stringify(exported));
    await ok(project.pulumi(["stack", "import", "--file", file]));
    const before = await only();
    expect(await ok(project.pulumi(UP))).not.toMatch(/updated|replaced|created/);
    expect(await only()).toBe(before);
  });

  test("another account's key is refused and never read as gone", async () => {
    const before = await only();
    const stranger = await project.market.account("stranger");
    const env = { VAST_URL: project.emulator.url, VAST_API_KEY: stranger.apiKey };
    for (const args of [REFRESH, DESTROY]) {
      const { code, stdout } = await project.pulumi(args, env);
      expect(code).not.toBe(0);
      expect(stdout).toContain("VL_WRONG_ACCOUNT");
    }
    const wrong = await project.pulumi(REFRESH, { VAST_URL: project.emulator.url, VAST_API_KEY: "0".repeat(64) });
    expect(wrong.code).not.toBe(0);
    expect(wrong.stdout).toContain("VL_ACCOUNT_REFUSED");
    expect(await only()).toBe(before);
    expect(await ok(project.pulumi(["stack", "export"]))).toContain(`"contractId": ${before}`);
  });

  test("a machine stopped by hand is seen by refresh and started by up", async () => {
    const id = await only();
    await market("PUT", `/api/v0/instances/${id}/`, { state: "stopped" });
    await ok(project.pulumi(REFRESH));
    expect(await ok(project.pulumi(["stack", "export"]))).toMatch(/"observed": "(stopped|pending|failed)"/);
    await ok(project.pulumi(UP));
    expect(await only()).toBe(id);
    expect(await ok(project.pulumi(["stack", "export"]))).toContain('"observed": "running"');
  });

  test("label and bid changed by hand are restored by up", async () => {
    const id = await only();
    const { label, gpuPricePerHour } = (await project.market.contracts()).find((it) => it.id === id) as {
      label: string;
      gpuPricePerHour: number;
    };
    await market("PUT", `/api/v0/instances/${id}/`, { label: "mine now" });
    await market("PUT", `/api/v0/instances/bid_price/${id}/`, { client_id: "me", price: gpuPricePerHour * 3 });
    await ok(project.pulumi(REFRESH));
    await ok(project.pulumi(UP));
    expect(await ok(project.pulumi(UP))).not.toMatch(/updated/);
    const after = (await project.market.contracts()).find((it) => it.id === id);
    expect(after?.gpuPricePerHour).toBeCloseTo(gpuPricePerHour, 4);
    expect(after?.label?.split(":").slice(0, 3)).toEqual(label.split(":").slice(0, 3));
    expect(await only()).toBe(id);
  });

  test("a machine destroyed by hand is gone after refresh, and up rents another one", async () => {
    const id = await only();
    await market("DELETE", `/api/v0/instances/${id}/`, {});
    await ok(project.pulumi(REFRESH));
    expect(await ok(project.pulumi(["stack", "export"]))).not.toContain("vastlane:Instance");
    await ok(project.pulumi(UP));
    expect(await only()).not.toBe(id);
  });

  test("an unreadable or cut list fails refresh and changes nothing", async () => {
    const id = await only();
    for (const kind of ["list-unreadable", "list-cut"] as const) {
      await project.market.fault(kind);
      const { code, stdout } = await project.pulumi(REFRESH);
      await project.market.clearFaults();
      if (kind === "list-unreadable") {
        expect(code).not.toBe(0);
        expect(stdout).toContain("VL_MARKET_UNREADABLE");
      }
      expect(await ok(project.pulumi(["stack", "export"]))).toContain(`"contractId": ${id}`);
    }
  });

  test("a narrower request replaces the machine, a wider one keeps it", async () => {
    const id = await only();
    project.configure({ gpu: { names: ["RTX 3090", "RTX 4090", "RTX 5090"], minReliability: 0.9 } });
    await ok(project.pulumi(UP));
    expect(await only()).toBe(id);
    project.configure({
      gpu: { names: ["RTX 5090"], minReliability: 0.9 },
      rental: { type: "interruptible", maxPricePerHour: 2 },
    });
    await ok(project.pulumi(UP));
    expect(await only()).not.toBe(id);
    const gpu = (await project.market.contracts()).find((it) => it.destroyedAt === null)?.gpu;
    expect(gpu).toContain("RTX 5090");
    project.configure({});
    await ok(project.pulumi(UP));
  });

  test("a request that nothing fits leaves the running machine as it is", async () => {
    const id = await only();
    project.configure({ gpu: { names: ["RTX 9999"] } });
    const { code, stdout } = await project.pulumi(UP);
    expect(code).not.toBe(0);
    expect(stdout).toContain("VL_NO_OFFER");
    expect(await only()).toBe(id);
    project.configure({});
    await ok(project.pulumi(UP));
    expect(await only()).toBe(id);
  });
});

describe("five machines in one up", () => {
  afterAll(async () => {
    await ok(project.pulumi(DESTROY));
    expect(await project.alive()).toEqual([]);
  });

  test("choose five different offers and see one configured provider each", async () => {
    project.configure({ machine: { diskGB: 10, nodes: 5 } });
    await ok(project.pulumi(UP));
    const contracts = (await project.market.contracts()).filter((it) => it.destroyedAt === null);
    expect(contracts).toHaveLength(5);
    expect(new Set(contracts.map(({ offerId }) => offerId)).size).toBe(5);
    expect(new Set(contracts.map(({ label }) => label?.split(":")[2])).size).toBe(5);
  });

  test("shrinking ends what is too many and keeps the rest", async () => {
    const before = await project.alive();
    project.configure({ machine: { diskGB: 10, nodes: 2 } });
    await ok(project.pulumi(UP));
    const after = await project.alive();
    expect(after).toHaveLength(2);
    expect(before).toEqual(expect.arrayContaining(after));
  });
});

describe("a machine that is rented but not ready", () => {
  test("is kept in the state by an initialisation failure, and destroy ends it", async () => {
    project.configure({ ssh: { publicKey: strangerKey(), privateKey: null } });
    const { code, stdout } = await project.pulumi(UP);
    expect(code).not.toBe(0);
    expect(stdout).toContain("VL_NOT_READY");
    const id = await only();
    expect(await ok(project.pulumi(["stack", "export"]))).toContain(`"contractId": ${id}`);
    await ok(project.pulumi(DESTROY));
    expect(await project.alive()).toEqual([]);
  });

  test("goes on with the same machine when the key is right", async () => {
    project.configure({ ssh: { publicKey: strangerKey(), privateKey: null } });
    expect((await project.pulumi(UP)).code).not.toBe(0);
    const id = await only();
    project.configure({});
    await ok(project.pulumi(UP));
    expect(await only()).toBe(id);
    await ok(project.pulumi(DESTROY));
    expect(await project.alive()).toEqual([]);
  });
});

/** A public key whose private half nobody has. */
function strangerKey(): string {
  return "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1bGxldHByb29mYnVsbGV0cHJvb2ZidWxsZXRwcm9v nobody";
}

/** The market's API by hand, as its console would. */
async function market(method: string, path: string, body: unknown): Promise<void> {
  const response = await fetch(project.emulator.url + path, {
    method,
    headers: { authorization: `Bearer ${project.emulator.apiKey}`, "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(response.ok, await response.text()).toBe(true);
}
