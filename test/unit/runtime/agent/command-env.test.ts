import { expect, test } from "vitest";
import { commandEnv, type EnvSources, parseContainerEnv } from "../../../../runtime/agent/command-env.ts";
import { parseRun } from "../../../../runtime/agent/run-file.ts";
import { workspaceAt } from "../../../../runtime/agent/workspace.ts";

function env(sources: Partial<Omit<EnvSources, "run">> & { run?: object } = {}): Record<string, string> {
  const run = parseRun({ runId: "dev/gpt", params: { lr: 0.1 }, ...sources.run }, "/workspace/project");
  const none = { secrets: {}, agent: {}, container: {}, resumeFrom: undefined };
  return commandEnv({ workspace: workspaceAt("/workspace"), ...none, ...sources, run });
}

test("holds the contract with every command", () => {
  expect(env()).toEqual({
    PATH: "/workspace/.vastlane/venv/bin:/workspace/.vastlane/bin",
    PYTHONUNBUFFERED: "1",
    VASTLANE_RUN_ID: "dev/gpt",
    VASTLANE_WORKSPACE: "/workspace",
    VASTLANE_CHECKPOINT_DIR: "/workspace/persistent/checkpoints",
    VASTLANE_RESUME_FROM: "",
    VASTLANE_LOG_DIR: "/workspace/logs",
    VASTLANE_PARAMS: '{"lr":0.1}',
    VASTLANE_CHECKPOINT_EVERY_STEPS: "200",
    VASTLANE_CHECKPOINT_EVERY_SECONDS: "auto",
    VASTLANE_KEEP_LAST: "3",
    VASTLANE_SUPERVISED_IN: "/workspace",
    DEV_MODE: "True",
  });
});

test("is the same whether an SSH session or a machine start has started the agent", () => {
  const container = { CONTAINER_ID: "1", PATH: "/opt/conda/bin:/usr/bin", LD_LIBRARY_PATH: "/cuda" };
  const overSsh = { PATH: "/usr/bin:/bin", SSH_CONNECTION: "1.2.3.4", TERM: "xterm", PWD: "/root", SHLVL: "1" };
  const atStart = { ...container, PATH: "/opt/conda/bin:/usr/bin:/bin" };
  expect(env({ agent: overSsh, container })).toEqual(env({ agent: atStart, container }));
  expect(env({ agent: overSsh, container }).PATH).toMatch(/:\/opt\/conda\/bin:\/usr\/bin:\/bin$/);
});

test("prefers secrets to the stack's env, that to the machine's, and lets nobody override the run", () => {
  const result = env({
    agent: { A: "agent", B: "agent", C: "agent", D: "agent" },
    container: { B: "container", C: "container", D: "container" },
    run: {
      env: { C: "stack", D: "stack", VASTLANE_RUN_ID: "other", VASTLANE_CHECKPOINT_DIR: "/data/ckpt" },
      mode: "prod",
    },
    secrets: { D: "secret" },
    resumeFrom: "/data/ckpt/step-5",
  });
  expect(result).toMatchObject({ A: "agent", B: "container", C: "stack", D: "secret", DEV_MODE: "False" });
  expect(result).toMatchObject({ VASTLANE_RUN_ID: "dev/gpt", VASTLANE_CHECKPOINT_DIR: "/data/ckpt" });
  expect(result.VASTLANE_RESUME_FROM).toBe("/data/ckpt/step-5");
});

test("never hands the machine's own key on", () => {
  expect(env({ container: { CONTAINER_API_KEY: "k" }, agent: { CONTAINER_API_KEY: "k" } })).not.toHaveProperty(
    "CONTAINER_API_KEY",
  );
});

test.each([
  [{ GPU_COUNT: "2" }, "0,1"],
  [{ GPU_COUNT: "2", CUDA_VISIBLE_DEVICES: "1" }, "1"],
  [{ GPU_COUNT: "x" }, undefined],
  [{}, undefined],
])("shows the command the GPUs of %j", (container, visible) => {
  expect(env({ container: container as Record<string, string> }).CUDA_VISIBLE_DEVICES).toBe(visible);
});

test("reads the environment of PID 1 only where that is a rented container", () => {
  expect(parseContainerEnv("CONTAINER_ID=5\0A=b=c\0")).toEqual({ CONTAINER_ID: "5", A: "b=c" });
  expect(parseContainerEnv("HOME=/\0A=b\0")).toEqual({});
  expect(parseContainerEnv(undefined)).toEqual({});
});
