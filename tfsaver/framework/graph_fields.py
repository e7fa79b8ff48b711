"""The fields of the messages that a file with graphs begins with, as `schemas` has them.

`graph_form` compares a file's first bytes with them. They stand here once more because loading protobuf and the schemas
takes longer than everything else that ``tfsaver identify`` does; a test compares the two.

    Message number:field number:field:type ...

A type is ``string``, ``bytes``, ``fixed32``, ``fixed64`` or a message; without one the field is a varint. A message that has
no line of its own stands too deep to be looked into.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

_TABLE = """
SavedModel 1:saved_model_schema_version 2:meta_graphs:MetaGraphDef
MetaGraphDef 1:meta_info_def:MetaGraphDef.MetaInfoDef 2:graph_def:GraphDef 3:saver_def:SaverDef
    4:collection_def:MetaGraphDef.CollectionDefEntry 5:signature_def:MetaGraphDef.SignatureDefEntry
    6:asset_file_def:AssetFileDef 7:object_graph_def:SavedObjectGraph
MetaGraphDef.MetaInfoDef 1:meta_graph_version:string 2:stripped_op_list:OpList 3:any_info:Any 4:tags:string
    5:tensorflow_version:string 6:tensorflow_git_version:string 7:stripped_default_attrs
    8:function_aliases:MetaGraphDef.MetaInfoDef.FunctionAliasesEntry
OpList 1:op:OpDef
OpDef 1:name:string 2:input_arg:OpDef.ArgDef 3:output_arg:OpDef.ArgDef 4:attr:OpDef.AttrDef 5:summary:string
    6:description:string 8:deprecation:OpDeprecation 16:is_aggregate 17:is_stateful 18:is_commutative
    19:allows_uninitialized_input 20:control_output:string 21:is_distributed_communication
Any 1:type_url:string 2:value:bytes
MetaGraphDef.MetaInfoDef.FunctionAliasesEntry 1:key:string 2:value:string
GraphDef 1:node:NodeDef 2:library:FunctionDefLibrary 3:version 4:versions:VersionDef 5:debug_info:GraphDebugInfo
NodeDef 1:name:string 2:op:string 3:input:string 4:device:string 5:attr:NodeDef.AttrEntry
    6:experimental_debug_info:NodeDef.ExperimentalDebugInfo 7:experimental_type:FullTypeDef
NodeDef.AttrEntry 1:key:string 2:value:AttrValue
NodeDef.ExperimentalDebugInfo 1:original_node_names:string 2:original_func_names:string
FullTypeDef 1:type_id 2:args:FullTypeDef 3:s:string 4:i
FunctionDefLibrary 1:function:FunctionDef 2:gradient:GradientDef 3:registered_gradients:RegisteredGradient
FunctionDef 1:signature:OpDef 3:node_def:NodeDef 4:ret:FunctionDef.RetEntry 5:attr:FunctionDef.AttrEntry
    6:control_ret:FunctionDef.ControlRetEntry 7:arg_attr:FunctionDef.ArgAttrEntry
    8:resource_arg_unique_id:FunctionDef.ResourceArgUniqueIdEntry
GradientDef 1:function_name:string 2:gradient_func:string
RegisteredGradient 1:gradient_func:string 2:registered_op_type:string
VersionDef 1:producer 2:min_consumer 3:bad_consumers
GraphDebugInfo 1:files:string 2:traces:GraphDebugInfo.TracesEntry 4:frames_by_id:GraphDebugInfo.FramesByIdEntry
    5:name_to_trace_id:GraphDebugInfo.NameToTraceIdEntry 6:traces_by_id:GraphDebugInfo.TracesByIdEntry
GraphDebugInfo.TracesEntry 1:key:string 2:value:GraphDebugInfo.StackTrace
GraphDebugInfo.FramesByIdEntry 1:key:fixed64 2:value:GraphDebugInfo.FileLineCol
GraphDebugInfo.NameToTraceIdEntry 1:key:string 2:value:fixed64
GraphDebugInfo.TracesByIdEntry 1:key:fixed64 2:value:GraphDebugInfo.StackTrace
SaverDef 1:filename_tensor_name:string 2:save_tensor_name:string 3:restore_op_name:string 4:max_to_keep 5:sharded
    6:keep_checkpoint_every_n_hours:fixed32 7:version
MetaGraphDef.CollectionDefEntry 1:key:string 2:value:CollectionDef
CollectionDef 1:node_list:CollectionDef.NodeList 2:bytes_list:CollectionDef.BytesList
    3:int64_list:CollectionDef.Int64List 4:float_list:CollectionDef.FloatList 5:any_list:CollectionDef.AnyList
CollectionDef.NodeList 1:value:string
CollectionDef.BytesList 1:value:bytes
CollectionDef.Int64List 1:value
CollectionDef.FloatList 1:value:fixed32
CollectionDef.AnyList 1:value:Any
MetaGraphDef.SignatureDefEntry 1:key:string 2:value:SignatureDef
SignatureDef 1:inputs:SignatureDef.InputsEntry 2:outputs:SignatureDef.OutputsEntry 3:method_name:string
    4:defaults:SignatureDef.DefaultsEntry
SignatureDef.InputsEntry 1:key:string 2:value:TensorInfo
SignatureDef.OutputsEntry 1:key:string 2:value:TensorInfo
SignatureDef.DefaultsEntry 1:key:string 2:value:TensorProto
AssetFileDef 1:tensor_info:TensorInfo 2:filename:string
TensorInfo 1:name:string 4:coo_sparse:TensorInfo.CooSparse 5:composite_tensor:TensorInfo.CompositeTensor 2:dtype
    3:tensor_shape:TensorShapeProto
TensorInfo.CooSparse 1:values_tensor_name:string 2:indices_tensor_name:string 3:dense_shape_tensor_name:string
TensorInfo.CompositeTensor 1:type_spec:TypeSpecProto 2:components:TensorInfo
TensorShapeProto 2:dim:TensorShapeProto.Dim 3:unknown_rank
SavedObjectGraph 1:nodes:SavedObject 2:concrete_functions:SavedObjectGraph.ConcreteFunctionsEntry
SavedObject 1:children:TrackableObjectGraph.TrackableObject.ObjectReference
    3:slot_variables:TrackableObjectGraph.TrackableObject.SlotVariableReference 4:user_object:SavedUserObject
    5:asset:SavedAsset 6:function:SavedFunction 7:variable:SavedVariable
    8:bare_concrete_function:SavedBareConcreteFunction 9:constant:SavedConstant 10:resource:SavedResource
    12:captured_tensor:CapturedTensor 11:saveable_objects:SavedObject.SaveableObjectsEntry 13:registered_name:string
    14:serialized_user_proto:Any 15:dependencies:TrackableObjectGraph.TrackableObject.ObjectReference
    16:registered_saver:string
TrackableObjectGraph.TrackableObject.ObjectReference 1:node_id 2:local_name:string
TrackableObjectGraph.TrackableObject.SlotVariableReference 1:original_variable_node_id 2:slot_name:string
    3:slot_variable_node_id
SavedUserObject 1:identifier:string 2:version:VersionDef 3:metadata:string
SavedAsset 1:asset_file_def_index
SavedFunction 1:concrete_functions:string 2:function_spec:FunctionSpec
SavedVariable 1:dtype 2:shape:TensorShapeProto 3:trainable 4:synchronization 5:aggregation 6:name:string 7:device:string
    8:experimental_distributed_variable_components:SavedVariable
SavedBareConcreteFunction 1:concrete_function_name:string 2:argument_keywords:string 3:allowed_positional_arguments
    4:function_spec:FunctionSpec
SavedConstant 1:operation:string
SavedResource 1:device:string
CapturedTensor 1:name:string 2:concrete_function:string
SavedObject.SaveableObjectsEntry 1:key:string 2:value:SaveableObject
SavedObjectGraph.ConcreteFunctionsEntry 1:key:string 2:value:SavedConcreteFunction
SavedConcreteFunction 2:bound_inputs 3:canonicalized_input_signature:StructuredValue 4:output_signature:StructuredValue
OpDef.ArgDef 1:name:string 2:description:string 3:type 4:type_attr:string 5:number_attr:string 6:type_list_attr:string
    7:handle_data:ResourceHandleProto.DtypeAndShape 16:is_ref 17:experimental_full_type:FullTypeDef
OpDef.AttrDef 1:name:string 2:type:string 3:default_value:AttrValue 4:description:string 5:has_minimum 6:minimum
    7:allowed_values:AttrValue
OpDeprecation 1:version 2:explanation:string
AttrValue 1:list:AttrValue.ListValue 2:s:bytes 3:i 4:f:fixed32 5:b 6:type 7:shape:TensorShapeProto 8:tensor:TensorProto
    9:placeholder:string 10:func:NameAttrList
FunctionDef.RetEntry 1:key:string 2:value:string
FunctionDef.AttrEntry 1:key:string 2:value:AttrValue
FunctionDef.ControlRetEntry 1:key:string 2:value:string
FunctionDef.ArgAttrEntry 1:key 2:value:FunctionDef.ArgAttrs
FunctionDef.ResourceArgUniqueIdEntry 1:key 2:value
GraphDebugInfo.StackTrace 1:file_line_cols:GraphDebugInfo.FileLineCol 2:frame_id:fixed64
GraphDebugInfo.FileLineCol 1:file_index 2:line 3:col 4:func:string 5:code:string
TensorProto 1:dtype 2:tensor_shape:TensorShapeProto 3:version_number 4:tensor_content:bytes 5:float_val:fixed32
    6:double_val:fixed64 7:int_val 8:string_val:bytes 9:scomplex_val:fixed32 10:int64_val 11:bool_val
    12:dcomplex_val:fixed64 13:half_val 14:resource_handle_val:ResourceHandleProto 15:variant_val:VariantTensorDataProto
    16:uint32_val 17:uint64_val 18:float8_val:bytes
TypeSpecProto 1:type_spec_class 2:type_state:StructuredValue 3:type_spec_class_name:string 4:num_flat_components
TensorShapeProto.Dim 1:size 2:name:string
FunctionSpec 1:fullargspec:StructuredValue 2:is_method 5:input_signature:StructuredValue 6:jit_compile
SaveableObject 2:save_function 3:restore_function
StructuredValue 1:none_value:NoneValue 11:float64_value:fixed64 12:int64_value 13:string_value:string 14:bool_value
    31:tensor_shape_value:TensorShapeProto 32:tensor_dtype_value 33:tensor_spec_value:TensorSpecProto
    34:type_spec_value:TypeSpecProto 35:bounded_tensor_spec_value:BoundedTensorSpecProto 51:list_value:ListValue
    52:tuple_value:TupleValue 53:dict_value:DictValue 54:named_tuple_value:NamedTupleValue 55:tensor_value:TensorProto
    56:numpy_value:TensorProto
AttrValue.ListValue 2:s:bytes 3:i 4:f:fixed32 5:b 6:type 7:shape:TensorShapeProto 8:tensor:TensorProto
    9:func:NameAttrList
NameAttrList 1:name:string 2:attr:NameAttrList.AttrEntry
FunctionDef.ArgAttrs 1:attr:FunctionDef.ArgAttrs.AttrEntry
"""


class Field(NamedTuple):
    """A field of a message.

    Attributes:
        name: Its name.
        type: See the module; empty for a varint.
    """

    name: str
    type: str


@functools.cache
def fields() -> dict[str, dict[int, Field]]:
    """The fields of each message by their numbers."""
    found: dict[str, dict[int, Field]] = {}
    for line in _TABLE.strip().replace("\n    ", " ").split("\n"):
        message, *items = line.split(" ")
        found[message] = {}
        for item in items:
            number, name, *kind = item.split(":")
            found[message][int(number)] = Field(name, kind[0] if kind else "")
    return found
