/**
 * The life of a contract as a table: phase x event -> phase, and what each phase means for the market.
 * A phase is our word; the four status fields that the API shows are looked up from it (vast-api.md 4.4).
 * Whether the host is offline is no phase: it is laid over the phase when a contract is read or billed.
 */

export type Phase =
  | "requested" // rented, the host has not reported yet
  | "loading" // image pull, container start
  | "running"
  | "stopping" // stop accepted, machine not yet down
  | "stopped" // by the user, for lack of credit, or at the end of the rental
  | "scheduling" // start asked while the GPUs are taken
  | "outbid" // stopped by the market: a higher bid or a renter on demand
  | "refused" // made with a bid that was too low
  | "start-failed" // the container could not be started
  | "exited" // its own process ended; the GPUs are still held
  | "rebooting"
  | "recycling"
  | "destroyed";

export type Event =
  | "report" // the host reports for the first time
  | "machine-up"
  | "machine-failed"
  | "machine-down"
  | "process-ended"
  | "user-stop"
  | "user-start"
  | "gpus-taken" // a start that finds the GPUs held by another
  | "gpus-free" // queued or waiting, and the GPUs can be had again
  | "lose" // outbid, or displaced by a renter on demand
  | "halt" // no credit, rental over
  | "reboot"
  | "recycle"
  | "destroy";

type Row = Partial<Record<Event, Phase>>;

const always: Row = { destroy: "destroyed" };
const held: Row = { ...always, lose: "outbid", halt: "stopped" };
const live: Row = {
  ...held,
  "user-stop": "stopping",
  "process-ended": "exited",
  reboot: "rebooting",
  recycle: "recycling",
};
const starting: Row = {
  ...held,
  "user-stop": "stopped",
  "user-start": "loading",
  "machine-up": "running",
  "machine-failed": "start-failed",
};
const idle: Row = {
  ...always,
  "user-stop": "stopped",
  "user-start": "loading",
  "gpus-taken": "scheduling",
  halt: "stopped",
};

/** Every legal change. What is not here does not happen: the event is ignored, or refused if a user sent it. */
export const TRANSITIONS: Record<Phase, Row> = {
  requested: { ...starting, report: "loading" },
  loading: starting,
  running: { ...live, "user-start": "running" },
  stopping: { ...held, "machine-down": "stopped", "user-start": "loading", "user-stop": "stopping" },
  stopped: idle,
  scheduling: { ...idle, "gpus-free": "loading", "user-start": "loading" },
  outbid: { ...idle, "gpus-free": "loading", "user-stop": "stopped" },
  refused: { ...idle, "gpus-free": "loading" },
  "start-failed": { ...idle },
  exited: { ...live, "user-start": "loading", "machine-up": "running" },
  rebooting: { ...starting, reboot: "rebooting", recycle: "recycling" },
  recycling: { ...starting, reboot: "rebooting", recycle: "recycling" },
  destroyed: {},
};

export interface PhaseFacts {
  intended: "running" | "stopped";
  current: "running" | "stopped" | "unloaded";
  next: "running" | "stopped" | "unloaded";
  actual: string | null;
  /** The GPUs are this contract's: nobody of the same rank can rent them. */
  holdsGpus: boolean;
  /** The GPU price is charged (disk always is). */
  billsGpu: boolean;
  /** Its machine is to come up as soon as the image is there. */
  isStarting: boolean;
  /** Something of it lasts: it is listed, and its disk is charged. */
  exists: boolean;
}

const active = {
  intended: "running",
  current: "running",
  next: "running",
  holdsGpus: true,
  isStarting: false,
  exists: true,
} as const;
const parked = {
  intended: "stopped",
  current: "stopped",
  next: "stopped",
  holdsGpus: false,
  billsGpu: false,
  isStarting: false,
  exists: true,
} as const;

// biome-ignore format: a table
export const PHASES: Record<Phase, PhaseFacts> = {
  requested:      { ...active, actual: null, billsGpu: false },
  loading:        { ...active, actual: "loading", billsGpu: false, isStarting: true },
  running:        { ...active, actual: "running", billsGpu: true },
  stopping:       { ...active, actual: "running", billsGpu: true, intended: "stopped", next: "stopped" },
  exited:         { ...active, actual: "exited", billsGpu: true },
  rebooting:      { ...active, actual: "rebooting", billsGpu: true, isStarting: true },
  recycling:      { ...active, actual: "recycling", billsGpu: true, isStarting: true },
  stopped:        { ...parked, actual: "exited" },
  outbid:         { ...parked, actual: "exited" },
  refused:        { ...parked, actual: null },
  "start-failed": { ...parked, actual: "created" },
  scheduling:     { ...parked, actual: "exited", intended: "running", next: "running" },
  destroyed:      { ...parked, actual: null, current: "unloaded", next: "unloaded", exists: false },
};

/** The phase after `event`, or undefined when the event means nothing in `phase`. */
export function nextPhase(phase: Phase, event: Event): Phase | undefined {
  return TRANSITIONS[phase][event];
}
