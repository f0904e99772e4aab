"""What the reader may use: lists of what is allowed, so that what a new engine brings is refused."""

from deploy.embedded.clickhouse.names import names_in

# Kinds of nodes in the engine's syntax tree of a SELECT.
NODES = names_in(
    """
    SelectWithUnionQuery SelectIntersectExceptQuery SelectQuery Subquery WithElement ExpressionList
    TablesInSelectQuery TablesInSelectQueryElement TableExpression TableIdentifier TableJoin ArrayJoin
    SampleRatio Identifier Literal Function QueryParameter Asterisk QualifiedAsterisk OrderByElement
    InterpolateElement WindowDefinition WindowListElement ColumnsRegexpMatcher ColumnsListMatcher
    QualifiedColumnsRegexpMatcher QualifiedColumnsListMatcher ColumnsTransformerList
    ColumnsApplyTransformer ColumnsExceptTransformer ColumnsReplaceTransformer
    ColumnsReplaceTransformerReplacement SetQuery
    """
)
# Of statements that are no SELECT, but have a tree or hold a SELECT.
SHOWS = frozenset({"ShowTablesQuery", "ShowColumnsQuery", "ShowIndexesQuery"})
SHOW_TABLES_OF = frozenset({"clusters", "cluster", "caches", "merges"})
EXPLAINS = frozenset(
    {
        *("EXPLAIN", "EXPLAIN AST", "EXPLAIN SYNTAX", "EXPLAIN QUERY TREE", "EXPLAIN PIPELINE"),
        "EXPLAIN ESTIMATE",
    }
)

# Functions by the engine's own categories. Missing: AI, Dictionary, Embedded Dictionary, Internal, Introspection,
# Machine Learning and Other, of which only those below are allowed.
CATEGORIES = frozenset(
    {
        *("Aggregate Functions", "Arithmetic", "Arrays", "Bit", "Bitmap", "Comparison", "Conditional"),
        *("Dates and Times", "Distance", "Encoding", "Encryption", "Financial", "Geo", "Geo Polygon", "Hash"),
        *("IP Address", "JSON", "Logical", "Map", "Mathematical", "Null", "NumericIndexedVector", "QBit"),
        *("Random Number", "Rounding", "String", "String Replacement", "String Search", "String Splitting"),
        *("Time Series", "Time Window", "Tuple", "Type Conversion", "URL", "UUID"),
    }
)
OTHER_FUNCTIONS = names_in(
    """
    FQDN bar blockNumber blockSize byteSize countDigits currentDatabase currentHandler currentSchemas
    currentUser defaultValueOfArgumentType defaultValueOfTypeName displayName dumpColumnStructure
    finalizeAggregation formatReadableDecimalSize formatReadableQuantity formatReadableSize
    formatReadableTimeDelta getSubcolumn globalVariable hostName identity ignore indexHint
    initializeAggregation isConstant isDecimalOverflow lowCardinalityIndices lowCardinalityKeys
    materialize neighbor normalizeQuery parseReadableSize parseReadableSizeOrNull
    parseReadableSizeOrZero parseTimeDelta queryID revision rowNumberInAllBlocks rowNumberInBlock
    runningAccumulate runningDifference runningDifferenceStartingWithFirstValue timezone throwIf
    toColumnTypeName toTypeName transform uptime variantElement variantType version visibleWidth sleep
    sleepEachRow minSampleSizeContinuous minSampleSizeConversion digits
    """
)
# What the parser calls functions and system.functions does not list.
SYNTAX_FUNCTIONS = frozenset({"lambda", "exists", "grouping", "countDistinct", "caseWithExpression"})

TABLE_FUNCTIONS = frozenset(
    {
        "numbers",
        "numbers_mt",
        "zeros",
        "zeros_mt",
        "generate_series",
        "generateseries",
        "values",
        "view",
        "null",
        # A view with a parameter looks like one.
        "credits_as_of",
    }
)
# Tables of `system` that BI tools look at, and that tell nothing of other users' work.
SYSTEM_TABLES = names_in(
    """
    aggregate_function_combinators build_options collations columns contributors data_skipping_indices
    data_type_families databases formats functions keywords licenses numbers numbers_mt one parts
    projections settings table_engines table_functions tables time_zones zeros zeros_mt
    """
)

# Formats that neither read nor write a schema or a template in a file.
FORMATS = names_in(
    """
    TabSeparated TSV TabSeparatedRaw TSVRaw Raw TabSeparatedWithNames TSVWithNames
    TabSeparatedWithNamesAndTypes TSVWithNamesAndTypes TabSeparatedRawWithNames TSVRawWithNames
    TabSeparatedRawWithNamesAndTypes TSVRawWithNamesAndTypes CSV CSVWithNames CSVWithNamesAndTypes
    Native RowBinary RowBinaryWithNames RowBinaryWithNamesAndTypes JSON JSONStrings JSONColumns
    JSONColumnsWithMetadata JSONCompact JSONCompactStrings JSONCompactColumns JSONEachRow JSONLines
    NDJSON JSONStringsEachRow JSONCompactEachRow JSONCompactEachRowWithNames
    JSONCompactEachRowWithNamesAndTypes JSONCompactStringsEachRow JSONCompactStringsEachRowWithNames
    JSONCompactStringsEachRowWithNamesAndTypes JSONObjectEachRow JSONEachRowWithProgress
    JSONStringsEachRowWithProgress PrettyJSONEachRow PrettyJSONLines PrettyNDJSON Pretty PrettyCompact
    PrettySpace PrettyNoEscapes PrettyCompactNoEscapes PrettyCompactMonoBlock PrettyMonoBlock
    PrettySpaceNoEscapes Vertical Values XML Markdown Null Parquet Arrow ArrowStream ORC Avro MsgPack
    BSONEachRow LineAsString
    """
)

# The most that a statement of the reader may ask for: seconds, rows, bytes.
LIMITS = {
    "max_execution_time": 60,
    "max_result_rows": 1_000_000,
    "max_result_bytes": 256 << 20,
    "max_memory_usage": 1 << 30,
}
# Settings without a bound of ours that can only make a statement do less.
BOUNDS = frozenset(
    {"max_rows_to_read", "max_bytes_to_read", "max_threads", "max_block_size", "limit", "offset"}
)
# Settings that change how a result looks, and nothing else.
HARMLESS = names_in(
    """
    extremes join_use_nulls group_by_use_nulls date_time_output_format date_time_input_format
    session_timezone log_comment final prefer_column_name_to_alias joined_subquery_requires_alias
    output_format_json_quote_64bit_integers output_format_json_quote_64bit_floats
    output_format_json_quote_denormals output_format_json_quote_decimals
    output_format_json_escape_forward_slashes output_format_json_named_tuples_as_objects
    output_format_json_array_of_rows output_format_json_validate_utf8
    output_format_json_skip_null_value_in_named_tuples output_format_csv_crlf_end_of_line
    output_format_tsv_crlf_end_of_line format_csv_delimiter format_csv_null_representation
    format_tsv_null_representation bool_true_representation bool_false_representation
    output_format_decimal_trailing_zeros output_format_pretty_max_rows output_format_pretty_color
    output_format_pretty_row_numbers output_format_arrow_string_as_string
    output_format_parquet_string_as_string output_format_parquet_compression_method
    output_format_arrow_compression_method output_format_native_encode_types_in_binary_format
    output_format_binary_write_json_as_string enable_http_compression http_zlib_compression_level
    send_progress_in_http_headers http_headers_progress_interval_ms http_connection_timeout
    http_receive_timeout http_send_timeout connect_timeout receive_timeout send_timeout
    cancel_http_readonly_queries_on_client_close wait_end_of_query result_overflow_mode
    timeout_overflow_mode read_overflow_mode
    """
)
