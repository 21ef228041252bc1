// The same as latency_probe.cc with Kafka's Java client: the same arguments, the same output. Run
// from its source, as `java -cp 'libs/*' LatencyProbe.java ...`.

import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

public class LatencyProbe {
    static final int VALUE_BYTES = 100;
    static final Duration PATIENCE = Duration.ofSeconds(30);

    static Properties properties(String bootstrap) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        return properties;
    }

    // Notes, by number, how long each record took.
    static void receive(String bootstrap, String topic, int partitions, long[] taken) {
        List<TopicPartition> all = new ArrayList<>();
        for (int index = 0; index < partitions; index++) all.add(new TopicPartition(topic, index));
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                properties(bootstrap), new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.assign(all);
            consumer.seekToBeginning(all);
            for (int received = 0; received < taken.length;) {
                var records = consumer.poll(PATIENCE);
                if (records.isEmpty())
                    throw new IllegalStateException(received + " of " + taken.length + " arrived");
                long now = System.nanoTime();
                for (var record : records) {
                    ByteBuffer stamp = ByteBuffer.wrap(record.value());
                    long sent = stamp.getLong();
                    taken[(int) stamp.getLong()] = now - sent;
                    received++;
                }
            }
        }
    }

    // Notes how much later than planned each record was sent.
    static void send(String bootstrap, String topic, int rate, long[] late) {
        Properties properties = properties(bootstrap);
        properties.put("acks", "all");
        properties.put("linger.ms", "0");
        AtomicReference<Exception> failure = new AtomicReference<>();
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(
                properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            producer.partitionsFor(topic);
            long began = System.nanoTime();
            for (int number = 0; number < late.length; number++) {
                long due = began + number * 1_000_000_000L / rate;
                long now;
                while ((now = System.nanoTime()) < due) LockSupport.parkNanos(due - now);
                late[number] = now - due;
                byte[] value = new byte[VALUE_BYTES];
                ByteBuffer.wrap(value).putLong(now).putLong(number);
                producer.send(new ProducerRecord<>(topic, value), (metadata, error) -> {
                    if (error != null) failure.set(error);
                });
            }
        }
        if (failure.get() != null) throw new IllegalStateException(failure.get());
    }

    static void print(String what, long[] times, int uncounted) {
        long[] counted = Arrays.copyOfRange(times, uncounted, times.length);
        Arrays.sort(counted);
        StringBuilder line = new StringBuilder(what);
        for (double share : new double[] {0.5, 0.99, 0.999, 1}) {
            int index = Math.min((int) (counted.length * share), counted.length - 1);
            line.append(String.format(" %.1f", counted[index] / 1e3));
        }
        System.out.println(line);
    }

    public static void main(String[] arguments) throws Exception {
        String bootstrap = arguments[0];
        String topic = arguments[1];
        int partitions = Integer.parseInt(arguments[2]);
        int uncounted = Integer.parseInt(arguments[4]);
        int total = uncounted + Integer.parseInt(arguments[5]);
        long[] taken = new long[total];
        long[] late = new long[total];
        AtomicReference<Throwable> failure = new AtomicReference<>();
        Thread receiver = new Thread(() -> {
            try {
                receive(bootstrap, topic, partitions, taken);
            } catch (Throwable thrown) {
                failure.set(thrown);
            }
        });
        receiver.start();
        send(bootstrap, topic, Integer.parseInt(arguments[3]), late);
        receiver.join();
        if (failure.get() != null) throw new IllegalStateException(failure.get());
        print("end-to-end", taken, uncounted);
        print("late", late, uncounted);
    }
}
