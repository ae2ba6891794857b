/** The checkpoint store as the program and the command line use it; the runtime has its own client. */
export {
  contextOf,
  describeStore,
  isEmulatorsOwn,
  keysIn,
  resolveStore,
  runPrefix,
  type Store,
  type StoreKeys,
  s3AccessOf,
} from "./access.ts";
export { runPolicy } from "./policy.ts";
export { type RunAccess, runAccess, type StoreFile } from "./run-access.ts";
