/** The emulated market for everybody outside this folder: start, stop, look, meddle. */
export { type ContractSummary, createEmulatorClient, type EmulatorClient, type EmulatorStatus } from "./client.ts";
export { FAULT_KINDS, type FaultKind, type FaultName, isFaultName } from "./faults/kinds.ts";
export { defaultHome, type EmulatorInfo, type S3Info } from "./home.ts";
export { emulatorClient, emulatorStatus, type StartOptions, startEmulator, stopEmulator } from "./launch.ts";
export type { JournalKind, JournalLine } from "./state/journal.ts";
