/**
 * The ES module face of `pageout/doctor`: the names of the CommonJS module, written out so that every tool finds them. It does not
 * load the addon first, since it is there to say why that fails.
 *
 * @packageDocumentation
 */

export type {
  AddonLook,
  DiagnoseOptions,
  Diagnosis,
  EncryptionFacts,
  Facts,
  Finding,
  InstallationFacts,
  Level,
  LimitFacts,
  MemoryFacts,
  MemoryGroupFacts,
  ProcessFacts,
  Reason,
  RefusedFacts,
  ScratchDirFacts,
  ScratchFacts,
  Section,
  SpeedFacts,
  TransferFacts,
} from './doctor.js'
export { diagnose } from './doctor.js'
