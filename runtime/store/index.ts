/** The runtime's object store, over S3. */
export { readStoreAccess, type StoreAccess } from "./access.ts";
export { type OpenStore, openStore, type StoreOptions } from "./s3-store.ts";
