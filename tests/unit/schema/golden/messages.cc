// Generated from cpp/schema/messages and cpp/schema/records; edit that.
#include "wire/small.h"
#include "wire/struct_array.h"

namespace pabal::wire {

static void read(Reader& reader, SmallRequest::Part& out, [[maybe_unused]] int version) {
    out.index = PartitionIndex{reader.int32("index")};
    if (version >= 2) {
        out.offset = Offset{reader.int64("offset")};
    }
    reader.skip_tags();
}
static void write(Writer& writer, const SmallRequest::Part& in, [[maybe_unused]] int version) {
    writer.int32(in.index.value());
    if (version >= 2) {
        writer.int64(in.offset.value());
    } else {
        if (in.offset != Offset(-1))
            field_lost("Part", "offset", version);
    }
    writer.no_tags();
}
static void read(Reader& reader, SmallRequest::Limits& out, [[maybe_unused]] int version) {
    out.most = reader.int8("most");
    reader.skip_tags();
}
static void write(Writer& writer, const SmallRequest::Limits& in, [[maybe_unused]] int version) {
    writer.int8(in.most);
    writer.no_tags();
}
static void read(Reader& reader, SmallRequest& out, [[maybe_unused]] int version) {
    if (version >= 3) {
        out.topic_id = TopicId{reader.uuid("topic_id")};
    }
    reader.nullable_string(out.name, "name", version >= 2);
    read_nullable_array(reader, out.parts, version, 4, "parts", true);
    for (std::uint32_t count = reader.tag_count(); count > 0 && reader.ok(); --count) {
        const auto tag = reader.begin_tag();
        if (tag.number == 0 && version >= 3) {
            reader.nullable_string(out.note, "note", true);
        } else if (tag.number == 1 && version >= 3) {
            read_struct(reader, out.limits, version, "limits");
        } else {
            reader.skip();
        }
        reader.end_tag(tag);
    }
}
static void write(Writer& writer, const SmallRequest& in, [[maybe_unused]] int version) {
    if (version >= 3) {
        writer.uuid(in.topic_id.value());
    }
    writer.nullable_string(in.name, version >= 2);
    write_nullable_array(writer, in.parts, version, true);
    if (version < 3 && in.note)
        field_lost("SmallRequest", "note", version);
    if (version < 3 && in.limits != decltype(in.limits)())
        field_lost("SmallRequest", "limits", version);
    if (writer.flexible()) {
        const auto tags = writer.begin_tags();
        if (version >= 3 && in.note) {
            const auto start = writer.begin_tag(tags, 0);
            writer.nullable_string(in.note, true);
            writer.end_tag(start);
        }
        if (version >= 3 && in.limits != decltype(in.limits)()) {
            const auto start = writer.begin_tag(tags, 1);
            write(writer, in.limits, version);
            writer.end_tag(start);
        }
    }
}
void encode(Writer& writer, const SmallRequest& message, int version) {
    writer.begin("SmallRequest", version, 1, 3, 3);
    write(writer, message, version);
}
Status decode(Reader& reader, SmallRequest& message, int version) {
    if (reader.begin("SmallRequest", version, 1, 3, 3))
        read(reader, message, version);
    return reader.status();
}

static void read(Reader& reader, SmallResponse::Limits& out, [[maybe_unused]] int version) {
    out.most = reader.int8("most");
    reader.skip_tags();
}
static void write(Writer& writer, const SmallResponse::Limits& in, [[maybe_unused]] int version) {
    writer.int8(in.most);
    writer.no_tags();
}
static void read(Reader& reader, SmallResponse& out, [[maybe_unused]] int version) {
    out.error_code = ErrorCode{reader.int16("error_code")};
    reader.records(out.records, "records", true);
    read_array(reader, out.limits, version, 1, "limits");
    reader.skip_tags();
}
static void write(Writer& writer, const SmallResponse& in, [[maybe_unused]] int version) {
    writer.int16(static_cast<std::int16_t>(in.error_code));
    writer.records(in.records, true);
    write_array(writer, in.limits, version);
    writer.no_tags();
}
void encode(Writer& writer, const SmallResponse& message, int version) {
    writer.begin("SmallResponse", version, 1, 3, 3);
    write(writer, message, version);
}
Status decode(Reader& reader, SmallResponse& message, int version) {
    if (reader.begin("SmallResponse", version, 1, 3, 3))
        read(reader, message, version);
    return reader.status();
}

}  // namespace pabal::wire
