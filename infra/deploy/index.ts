/** What a machine is sent and how: plain data and functions, without Pulumi. The resource is ../deployment.ts. */
export { readContent } from "./content.ts";
export { runHashes } from "./control-files.ts";
export { REQUEST_VARIABLE, STDIN_VARIABLE } from "./request.ts";
export { findSecrets, type SecretSources, secretsFingerprint } from "./secrets.ts";
export { type Bundles, type DeployOptions, type DeploySpec, deploySpec, ofGeneration, requestFor } from "./spec.ts";
