import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;

/** Answers each line `name kind version hex` with the hex that Kafka's own classes make of it. */
public class Recode {
    private static final String[] PACKAGES = {
        "common.message", "common.metadata", "coordinator.group.generated",
        "coordinator.transaction.generated", "coordinator.share.generated", "raft.generated",
        "server.log.remote.metadata.storage.generated", "storage.internals.log.generated",
        "server.log.generated", "server.storage.log.generated", "storage.internals.generated",
        "storage.internals.log"
    };

    private static Message make(String name) throws ReflectiveOperationException {
        for (String place : PACKAGES) {
            for (String suffix : new String[] {"", "Data"}) {
                try {
                    String path = "org.apache.kafka." + place + "." + name + suffix;
                    return (Message) Class.forName(path).getDeclaredConstructor().newInstance();
                } catch (ClassNotFoundException elsewhere) {
                    continue;
                }
            }
        }
        throw new ClassNotFoundException(name);
    }

    public static void main(String[] arguments) throws Exception {
        BufferedReader lines = new BufferedReader(new InputStreamReader(System.in));
        for (String line = lines.readLine(); line != null; line = lines.readLine()) {
            String[] words = line.split(" ", -1);
            try {
                Message message = make(words[0]);
                short version = Short.parseShort(words[2]);
                ByteBuffer given = ByteBuffer.wrap(HexFormat.of().parseHex(words[3]));
                message.read(new ByteBufferAccessor(given), version);
                ByteBuffer made = MessageUtil.toByteBufferAccessor(message, version).buffer();
                byte[] bytes = new byte[made.remaining()];
                made.get(bytes);
                String rest = given.hasRemaining() ? " and " + given.remaining() + " left" : "";
                System.out.println(HexFormat.of().formatHex(bytes) + rest);
            } catch (Throwable thrown) {
                System.out.println("error: " + thrown);
            }
        }
    }
}
