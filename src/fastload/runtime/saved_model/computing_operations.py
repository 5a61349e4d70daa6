"""The operations of TensorFlow that compute, and do no more.

A SavedModel's functions are programs. Whatever reads or writes files, talks to others, calls
Python, or is not known here, keeps a function from being run where nobody asked for it: for the
proof of a migration, and in a layer of a `.keras` archive, which stock opens as one without code.
Names: `tf.raw_ops`, TensorFlow 2.21; what an older version adds is left out on purpose.
"""

from __future__ import annotations

from typing import Final

_ELEMENTS: Final = """
    Abs Acos Acosh Add AddN AddV2 Angle ApproximateEqual Asin Asinh Atan Atan2 Atanh Betainc
    Bitcast BitwiseAnd BitwiseOr BitwiseXor Cast Ceil CheckNumerics CheckNumericsV2 ClipByValue
    Complex ComplexAbs Conj Cos Cosh Digamma Div DivNoNan Elu Equal Erf Erfc Erfinv Exp Expm1
    Floor FloorDiv FloorMod Greater GreaterEqual Igamma Igammac Imag Inv Invert IsFinite IsInf
    IsNan LeakyRelu LeftShift Less LessEqual Lgamma Log Log1p LogicalAnd LogicalNot LogicalOr
    Maximum Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Polygamma PopulationCount Pow
    Real RealDiv Reciprocal Relu Relu6 RightShift Rint Round Rsqrt Selu Sigmoid Sign Sin Sinh
    Softplus Softsign Sqrt Square SquaredDifference Sub Tan Tanh TruncateDiv TruncateMod Xdivy
    Xlog1py Xlogy Zeta BesselI0 BesselI0e BesselI1 BesselI1e BesselJ0 BesselJ1 BesselK0
    BesselK0e BesselK1 BesselK1e BesselY0 BesselY1 Dawsn Expint FresnelCos FresnelSin Spence
"""
_ARRAYS: Final = """
    All Any ArgMax ArgMin BatchToSpace BatchToSpaceND Bincount BroadcastArgs BroadcastTo
    Bucketize Concat ConcatOffset ConcatV2 Const Cross Cumprod Cumsum CumulativeLogsumexp
    DenseBincount DepthToSpace Diag DiagPart DynamicPartition DynamicStitch EnsureShape
    EuclideanNorm ExpandDims Fill Gather GatherNd GatherV2 HistogramFixedWidth Identity
    IdentityN InvertPermutation LinSpace ListDiff LowerBound MatrixBandPart MatrixDiag
    MatrixDiagPart MatrixDiagPartV2 MatrixDiagPartV3 MatrixDiagV2 MatrixDiagV3 MatrixSetDiag
    MatrixSetDiagV2 MatrixSetDiagV3 Max Mean Min MirrorPad NoOp OneHot OnesLike Pack Pad PadV2
    ParallelDynamicStitch Placeholder PlaceholderWithDefault PreventGradient Prod Range Rank
    Reshape Reverse ReverseSequence ReverseV2 Roll ScatterNd SegmentMax SegmentMaxV2 SegmentMean
    SegmentMin SegmentMinV2 SegmentProd SegmentProdV2 SegmentSum SegmentSumV2 Select SelectV2
    Shape ShapeN Size Slice Snapshot SpaceToBatch SpaceToBatchND SpaceToDepth Split SplitV
    Squeeze StopGradient StridedSlice Sum TensorScatterAdd TensorScatterMax TensorScatterMin
    TensorScatterSub TensorScatterUpdate TensorStridedSliceUpdate Tile TopK TopKV2 Transpose
    Unique UniqueV2 UniqueWithCounts UniqueWithCountsV2 Unpack UnravelIndex UnsortedSegmentMax
    UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum UpperBound Where ZerosLike
"""
_LINEAR_ALGEBRA: Final = """
    BatchMatMul BatchMatMulV2 BatchMatMulV3 Cholesky ConjugateTranspose Einsum FFT FFT2D FFT3D
    IFFT IFFT2D IFFT3D IRFFT IRFFT2D IRFFT3D L2Loss LogMatrixDeterminant Lu MatMul
    MatrixDeterminant MatrixExponential MatrixInverse MatrixLogarithm MatrixSolve MatrixSolveLs
    MatrixSquareRoot MatrixTriangularSolve Qr RFFT RFFT2D RFFT3D SelfAdjointEigV2 Svd
    TridiagonalMatMul TridiagonalSolve
"""
_NETWORKS: Final = """
    AvgPool AvgPool3D BatchNormWithGlobalNormalization BiasAdd BiasAddV1 BlockLSTM BlockLSTMV2
    CTCBeamSearchDecoder CTCGreedyDecoder Conv Conv2D Conv2DBackpropInput Conv2DBackpropInputV2
    Conv3D Conv3DBackpropInput Conv3DBackpropInputV2 CudnnRNN CudnnRNNV2 CudnnRNNV3
    DataFormatDimMap DataFormatVecPermute DepthwiseConv2dNative
    DepthwiseConv2dNativeBackpropInput Dilation2D FakeQuantWithMinMaxArgs
    FakeQuantWithMinMaxVars FakeQuantWithMinMaxVarsPerChannel FractionalAvgPool
    FractionalMaxPool FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 GRUBlockCell InTopK
    InTopKV2 LRN LSTMBlockCell LogSoftmax MaxPool MaxPool3D MaxPoolV2 MaxPoolWithArgmax Softmax
    SoftmaxCrossEntropyWithLogits SparseSoftmaxCrossEntropyWithLogits
"""
_IMAGES_AND_SOUND: Final = """
    AdjustContrast AdjustContrastv2 AdjustHue AdjustSaturation AudioSpectrogram
    CombinedNonMaxSuppression CropAndResize DecodeAndCropJpeg DecodeBmp DecodeGif DecodeImage
    DecodeJpeg DecodePng DecodeWav DrawBoundingBoxes DrawBoundingBoxesV2 EncodeJpeg EncodePng
    ExtractGlimpse ExtractGlimpseV2 ExtractImagePatches ExtractVolumePatches HSVToRGB
    ImageProjectiveTransformV2 ImageProjectiveTransformV3 Mfcc NonMaxSuppression
    NonMaxSuppressionV2 NonMaxSuppressionV3 NonMaxSuppressionV4 NonMaxSuppressionV5
    NonMaxSuppressionWithOverlaps RGBToHSV ResizeArea ResizeBicubic ResizeBilinear
    ResizeNearestNeighbor ScaleAndTranslate
"""
_TEXT_AND_TABLES: Final = """
    AnonymousHashTable AnonymousMutableDenseHashTable AnonymousMutableHashTable
    AnonymousMutableHashTableOfTensors AsString DecodeBase64 DecodeCSV DecodeRaw EditDistance
    EncodeBase64 Fingerprint HashTableV2 InitializeTableV2 LookupTableExportV2 LookupTableFindV2
    LookupTableImportV2 LookupTableInsertV2 LookupTableRemoveV2 LookupTableSizeV2
    MutableDenseHashTableV2 MutableHashTableOfTensorsV2 MutableHashTableV2 ParseExample
    ParseExampleV2 ParseSequenceExample ParseSequenceExampleV2 ParseSingleExample
    ParseSingleSequenceExample ReduceJoin RegexFullMatch RegexReplace StaticRegexFullMatch
    StaticRegexReplace StringFormat StringJoin StringLength StringLower StringNGrams StringSplit
    StringSplitV2 StringStrip StringToHashBucket StringToHashBucketFast StringToHashBucketStrong
    StringToNumber StringUpper Substr UnicodeDecode UnicodeDecodeWithOffsets UnicodeEncode
    UnicodeScript UnicodeTranscode UnsortedSegmentJoin
"""
_SPARSE_AND_RAGGED: Final = """
    DenseCountSparseOutput DenseToDenseSetOperation DenseToSparseSetOperation DeserializeSparse
    RaggedBincount RaggedCountSparseOutput RaggedCross RaggedFillEmptyRows RaggedGather
    RaggedRange RaggedTensorFromVariant RaggedTensorToSparse RaggedTensorToTensor
    RaggedTensorToVariant SerializeSparse SetSize SparseAdd SparseBincount SparseConcat
    SparseCountSparseOutput SparseCross SparseCrossHashed SparseCrossV2 SparseDenseCwiseAdd
    SparseDenseCwiseDiv SparseDenseCwiseMul SparseFillEmptyRows SparseMatMul SparseReduceMax
    SparseReduceSum SparseReorder SparseReshape SparseSegmentMean
    SparseSegmentMeanWithNumSegments SparseSegmentSqrtN SparseSegmentSqrtNWithNumSegments
    SparseSegmentSum SparseSegmentSumWithNumSegments SparseSlice SparseSoftmax
    SparseSparseMaximum SparseSparseMinimum SparseSplit SparseTensorDenseAdd
    SparseTensorDenseMatMul SparseToDense SparseToSparseSetOperation
"""
_RANDOM: Final = """
    Multinomial NonDeterministicInts ParameterizedTruncatedNormal RandomGamma RandomPoissonV2
    RandomShuffle RandomStandardNormal RandomUniform RandomUniformInt RngReadAndSkip RngSkip
    StatefulRandomBinomial StatefulStandardNormalV2 StatefulTruncatedNormal StatefulUniform
    StatefulUniformFullInt StatefulUniformInt StatelessMultinomial StatelessRandomBinomial
    StatelessRandomGammaV2 StatelessRandomGammaV3 StatelessRandomGetAlg
    StatelessRandomGetKeyCounter StatelessRandomGetKeyCounterAlg StatelessRandomNormal
    StatelessRandomNormalV2 StatelessRandomPoisson StatelessRandomUniform
    StatelessRandomUniformFullInt StatelessRandomUniformFullIntV2 StatelessRandomUniformInt
    StatelessRandomUniformIntV2 StatelessRandomUniformV2 StatelessShuffle
    StatelessTruncatedNormal StatelessTruncatedNormalV2 TruncatedNormal
"""
#: An `Assert` raises an error, and that is a function that cannot be compared.
_FLOW_AND_STATE: Final = """
    Assert AssignAddVariableOp AssignSubVariableOp AssignVariableOp Case ControlTrigger
    DisableCopyOnRead EmptyTensorList Enter Exit FakeParam For If LoopCond MapDefun Merge
    NextIteration PartitionedCall ReadVariableOp ResourceGather ResourceGatherNd
    ResourceScatterAdd ResourceScatterUpdate StatefulPartitionedCall StatelessCase StatelessIf
    StatelessWhile Switch TensorArrayCloseV3 TensorArrayConcatV3 TensorArrayGatherV3
    TensorArrayReadV3 TensorArrayScatterV3 TensorArraySizeV3 TensorArraySplitV3 TensorArrayV3
    TensorArrayWriteV3 TensorListConcat TensorListConcatLists TensorListConcatV2
    TensorListElementShape TensorListFromTensor TensorListGather TensorListGetItem
    TensorListLength TensorListPopBack TensorListPushBack TensorListPushBackBatch
    TensorListReserve TensorListResize TensorListScatter TensorListScatterIntoExistingList
    TensorListScatterV2 TensorListSetItem TensorListSplit TensorListStack ToBool VarHandleOp
    VarIsInitializedOp VariableShape While
"""
_GROUPS: Final = (
    _ELEMENTS,
    _ARRAYS,
    _LINEAR_ALGEBRA,
    _NETWORKS,
    _IMAGES_AND_SOUND,
    _TEXT_AND_TABLES,
    _SPARSE_AND_RAGGED,
    _RANDOM,
    _FLOW_AND_STATE,
)
COMPUTING: Final = frozenset(name for group in _GROUPS for name in group.split())
#: What reads variables from the checkpoint, in the one node that a SavedModel names for it.
RESTORING: Final = frozenset({"RestoreV2"})
