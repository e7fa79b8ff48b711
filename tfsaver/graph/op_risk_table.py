"""Operations that do more than compute, by families, each with its reason.

Some read and write any file that the process may, open connections, run code that is elsewhere, or end the process. What is
not in the table computes, or keeps its state within the process. Operations of libraries beside TensorFlow are in it as far
as they reach outside; all that is known of any other that TensorFlow's registry does not have is that it is native code: a
library must be loaded for it.
"""

from __future__ import annotations

import enum
import functools
import re

from tfsaver.graph import op_defs


class Risk(str, enum.Enum):
    """What an operation can do."""

    READS_FILES = "reads files"
    WRITES_FILES = "writes files"
    RUNS_CODE = "runs code"
    NETWORK = "reaches the network"
    STOPS = "stops the process"
    WAITS = "waits"
    HARDWARE = "takes over hardware"
    PRINTS = "prints"

    def __str__(self) -> str:
        return self.value


# What, why, and which: names of operations with `*` for any text.
_FAMILIES: tuple[tuple[Risk, str, str], ...] = (
    (Risk.READS_FILES, "any file by its name", "ReadFile WholeFileReader* ImmutableConst"),
    (Risk.READS_FILES, "the names of files that match a pattern", "MatchingFiles *MatchingFilesDataset"),
    (
        Risk.READS_FILES,
        "records of a file by its name",
        "TextLineReader* FixedLengthRecordReader* TFRecordReader* LMDBReader* RecordInput TextLineDataset* "
        "FixedLengthRecordDataset* TFRecordDataset* *CSVDataset* *LMDBDataset* SSTableDataset* ReaderRead ReaderReadV2 "
        "ReaderReadUpTo* HDF5* ParquetDataset* AvroDataset* AvroRecordDataset* ArrowFeatherDataset* FFmpegDataset* "
        "VideoDataset* GenericFileDataset*",
    ),
    (Risk.READS_FILES, "a database in a file, with any query", "*SqlDataset*"),
    (
        Risk.READS_FILES,
        "what a data set was saved as",
        "LoadDataset* *SnapshotDataset* SnapshotDatasetReader SnapshotNestedDatasetReader SnapshotChunkDataset "
        "ListSnapshotChunksDataset",
    ),
    (
        Risk.READS_FILES,
        "a checkpoint by its name",
        "Restore RestoreSlice RestoreV2 DTensorRestoreV2 LoadAndRemapMatrix CheckpointExists* BundleReader*",
    ),
    (Risk.READS_FILES, "a vocabulary by its name", "InitializeTableFromTextFile*"),
    (Risk.READS_FILES, "a file of counts by its name", "*FixedUnigramCandidateSampler"),
    (Risk.READS_FILES, "a corpus by its name", "Skipgram"),
    (Risk.READS_FILES, "a schema in a file that an attribute names", "DecodeProto* EncodeProto*"),
    (Risk.READS_FILES, "an engine by its name", "InitializeTRTResource DeserializeTRTEngine*"),
    (Risk.WRITES_FILES, "any file by its name", "WriteFile"),
    (
        Risk.WRITES_FILES,
        "a checkpoint by its name",
        "Save SaveSlices SaveV2 MergeV2Checkpoints DistributedSave BundleWriter* CalibrationStatisticsSaver",
    ),
    (
        Risk.WRITES_FILES,
        "what a data set gives",
        "SaveDataset* *DatasetToTFRecord *SnapshotDataset* SnapshotDatasetV2 CacheDataset*",
    ),
    (
        Risk.WRITES_FILES,
        "event files in any directory",
        "CreateSummaryFileWriter CreateSummaryDbWriter SummaryWriter Write*Summary WriteSummary ImportEvent "
        "FlushSummaryWriter CloseSummaryWriter StatsAggregatorSetSummaryWriter",
    ),
    (Risk.WRITES_FILES, "the values of tensors in any directory", "DebugIdentity* DebugNumericSummary* DumpTensor"),
    (Risk.WRITES_FILES, "its output stream is a file", "PrintV2"),
    (Risk.WRITES_FILES, "an engine by its name", "SerializeTRTResource"),
    (Risk.RUNS_CODE, "a function of the Python process that is registered under its token", "PyFunc* EagerPyFunc"),
    (Risk.RUNS_CODE, "a graph in a string, in which nothing is scanned", "DatasetFromGraph DeserializeIterator*"),
    (
        Risk.RUNS_CODE,
        "machine code that a node carries",
        "TRTEngineOp* TensorRTEngine* XlaAotOnly* _XlaAotOnly* NeuronOp _NeuronOp InferenceOp GraphRuntime*",
    ),
    (
        Risk.RUNS_CODE,
        "a function of a library in the process, by its name",
        "XlaCustomCall* CustomCall RemoteFusedGraphExecute TfLiteSubgraphExecute XlaCallModule",
    ),
    (Risk.RUNS_CODE, "a program that it compiles", "MlirPassthroughOp _TPUCompileMlir* _XlaCompileMlir*"),
    (
        Risk.NETWORK,
        "calls procedures of other processes, or serves them",
        "RpcClient RpcServer RpcServerStart RpcServerRegister RpcCall RpcCheckStatus RpcGetValue Rpc TryRpc "
        "DeleteRpcFutureResource",
    ),
    (Risk.NETWORK, "has another machine run a function", "RemoteCall ClusterOutput XlaClusterOutput RemoteDispatch*"),
    (
        Risk.NETWORK,
        "takes data from a service at any address",
        "DataServiceDataset* RegisterDataset* ProcessingMode* InitializeDataService*",
    ),
    (
        Risk.NETWORK,
        "takes data from a service at any address",
        "*BigQuery* *BigTable* *Bigtable* CloudBigtable* PubSub* Kafka* Kinesis* Mongo* Prometheus* Elasticsearch* Ignite* "
        "Pulsar* GRPC* IO>* ArrowFlight* ArrowStreamDataset SQLIterable* OSS* AzureFS*",
    ),
    (
        Risk.NETWORK,
        "sets the credentials or the options of a file system",
        "GcsConfigure* GcsCredentials* FileSystemSetConfiguration",
    ),
    (
        Risk.NETWORK,
        "exchanges tensors with other machines",
        "Send Recv _Send _Recv _HostSend _HostRecv Collective* Nccl* _Nccl* Horovod* MPI* HostSend HostRecv",
    ),
    (Risk.NETWORK, "sends the values of tensors to any address", "DebugIdentity* DebugNumericSummary*"),
    (Risk.STOPS, "on purpose", "Abort"),
    (Risk.WAITS, "as long as an input says", "*SleepDataset SleepOp SleepIdentityOp"),
    (
        Risk.HARDWARE,
        "starts or ends the work of TPUs",
        "*ConfigureDistributedTPU ShutdownDistributedTPU _ShutdownDistributedTPU ShutdownTPUSystem ConfigureTPUEmbedding* "
        "ConfigureAndInitializeGlobalTPU _InitializeHostForDistributedTPU _DisconnectHostFromDistributedTPUSystem "
        "_WaitForDistributedTPU _SetGlobalTPUArray DTensorSetGlobalTPUArray FinalizeTPUEmbedding* ConnectTPUEmbeddingHosts "
        "WorkerHeartbeat",
    ),
    (Risk.PRINTS, "tensors to the process's standard error", "Print PrintV2"),
)

# What TensorFlow's runtime puts into graphs; some of it was saved. The table of operations does not have these.
_INTERNAL = (
    "_Arg _Retval _DeviceArg _DeviceRetval _ArrayToList _ListToArray _CopyFrom*Gpu* _EagerConst _HostCast _If _While "
    "_Fused* _Mkl* __MklDummy* _ParallelConcat* _Quantized* _ReadVariablesOp _VarHandlesOp _ScopedAllocator* _TPUReplicate "
    "_SwitchN _TensorToHashBucketFast _UnaryOpsComposition _Xla*"
)
NATIVE_CODE = "not an operation of TensorFlow: native code of a library that must be loaded"


def _pattern(names: str) -> re.Pattern[str]:
    # A line break is text as well: a pattern that ends at one would try every place at which it can begin.
    return re.compile("|".join(re.escape(name).replace(r"\*", ".*") for name in names.split()), re.DOTALL)


_INTERNAL_PATTERN = _pattern(_INTERNAL)
_PATTERNS = [(risk, reason, _pattern(names)) for risk, reason, names in _FAMILIES]


# A graph brings names of its own, as many and as long as it likes.
@functools.lru_cache(4096)
def risks_of(op: str) -> tuple[tuple[Risk, str], ...]:
    """What an operation can do beyond computing, and why: none for most."""
    found = {risk: reason for risk, reason, pattern in reversed(_PATTERNS) if pattern.fullmatch(op)}
    if not is_registered(op):
        found.setdefault(Risk.RUNS_CODE, NATIVE_CODE)
    return tuple(sorted(found.items()))


def is_registered(op: str) -> bool:
    """Whether TensorFlow's own registry has an operation, in 1.15 or in 2.21."""
    return op in op_defs.table() or (op.startswith("_") and _INTERNAL_PATTERN.fullmatch(op) is not None)
