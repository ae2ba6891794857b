import fc from "fast-check";
import { expect, test } from "vitest";
import { type Event, nextPhase, PHASES, type Phase, TRANSITIONS } from "../../../../emulator/market/contracts.ts";

const phases = Object.keys(PHASES) as Phase[];
const events = [...new Set(phases.flatMap((phase) => Object.keys(TRANSITIONS[phase])))] as Event[];

test.each([
  ["requested", { intended: "running", current: "running", next: "running", actual: null }],
  ["loading", { intended: "running", current: "running", next: "running", actual: "loading" }],
  ["running", { intended: "running", current: "running", next: "running", actual: "running" }],
  ["stopping", { intended: "stopped", current: "running", next: "stopped", actual: "running" }],
  ["stopped", { intended: "stopped", current: "stopped", next: "stopped", actual: "exited" }],
  ["scheduling", { intended: "running", current: "stopped", next: "running", actual: "exited" }],
  ["outbid", { intended: "stopped", current: "stopped", next: "stopped", actual: "exited" }],
  ["start-failed", { intended: "stopped", current: "stopped", next: "stopped", actual: "created" }],
  ["refused", { intended: "stopped", current: "stopped", next: "stopped", actual: null }],
  ["exited", { intended: "running", current: "running", next: "running", actual: "exited" }],
] as const)("shows %s as the market does", (phase, facts) => {
  expect(PHASES[phase]).toMatchObject(facts);
});

test("can destroy a contract in every phase, once", () => {
  for (const phase of phases) {
    expect(nextPhase(phase, "destroy")).toBe(phase === "destroyed" ? undefined : "destroyed");
  }
});

test("charges for GPUs only where they are held", () => {
  for (const phase of phases) if (PHASES[phase].billsGpu) expect(PHASES[phase].holdsGpus).toBe(true);
});

test("takes the GPUs away from whoever holds them, at a lost bid and at an empty account", () => {
  for (const phase of phases) {
    if (!PHASES[phase].holdsGpus) continue;
    for (const event of ["lose", "halt"] as const) {
      const after = nextPhase(phase, event);
      expect(after && PHASES[after].holdsGpus).toBe(false);
    }
  }
});

test("gives GPUs back only for a start, a free machine, or a start that was accepted before", () => {
  for (const phase of phases) {
    if (PHASES[phase].holdsGpus) continue;
    const gains = events.filter((event) => {
      const after = nextPhase(phase, event);
      return after !== undefined && PHASES[after].holdsGpus;
    });
    expect(gains.every((event) => event === "user-start" || event === "gpus-free")).toBe(true);
  }
});

test("stays in the table whatever happens, and never comes back from destroyed", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...events), { maxLength: 40 }), (sequence) => {
      let phase: Phase = "requested";
      let wasDestroyed = false;
      for (const event of sequence) {
        phase = nextPhase(phase, event) ?? phase;
        expect(phases).toContain(phase);
        wasDestroyed ||= event === "destroy";
        expect(phase === "destroyed").toBe(wasDestroyed);
      }
    }),
  );
});
