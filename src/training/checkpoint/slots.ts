// Our transcription of the schema of ONNX Runtime's training checkpoints (version 2): for each table its fields' slots
// in the order of their declaration. A vtable holds the position of slot n at byte 4 + 2n.

/** Bytes 4 to 8 of every checkpoint. */
export const IDENTIFIER = 'ODTC';
/** The version that is written. */
export const VERSION = 2;
/** `external_data_offset` of a tensor whose data is in the file itself. */
export const NOT_EXTERNAL = -1n;

export const checkpointSlots = { version: 0, moduleState: 1, optimizerGroups: 2, propertyBag: 3 } as const;
export const moduleSlots = { trainable: 0, frozen: 1, nominal: 2, external: 3 } as const;
export const groupSlots = { name: 0, step: 1, initialLearningRate: 2, states: 3 } as const;
export const stateSlots = { parameter: 0, momentums: 1 } as const;
export const bagSlots = { ints: 0, floats: 1, strings: 2 } as const;
export const propertySlots = { name: 0, value: 1 } as const;
export const tensorSlots = {
  name: 0,
  docString: 1,
  dims: 2,
  dataType: 3,
  rawData: 4,
  stringData: 5,
  externalOffset: 6,
} as const;

/** Number of slots, which the writer must say. */
export const slotCount = (slots: Readonly<Record<string, number>>): number => Object.keys(slots).length;
