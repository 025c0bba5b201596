// The operator set of all models made here. Every operator used is older; 17 is read by runtimes since 2022 (ONNX 1.12,
// ONNX Runtime 1.12).
export const opset = 17;
