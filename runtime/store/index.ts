/** The runtime's object store, over S3. */
export { readStoreAccess, type StoreAccess } from "./access.ts";
export { crc32, crcText } from "./crc32.ts";
export { type OpenStore, openStore, type StoreOptions } from "./s3-store.ts";
