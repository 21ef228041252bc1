import java.util.TreeMap;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.server.config.ConfigSynonym;
import org.apache.kafka.server.config.DynamicBrokerConfig;
import org.apache.kafka.server.config.ServerTopicConfigSynonyms;
import org.apache.kafka.storage.internals.log.LogConfig;

/** Prints Kafka's error codes and settings, one a line, with tabs between the facts. */
public class Facts {
    public static void main(String[] arguments) {
        for (Errors error : Errors.values()) {
            boolean retriable = error.exception() instanceof RetriableException;
            System.out.println("error\t" + error.code() + "\t" + error.name() + "\t" + retriable);
        }
        settings("broker", kafka.server.KafkaConfig.configDef());
        settings("topic", LogConfig.configDefCopy());
        settings("group", org.apache.kafka.coordinator.group.GroupConfig.CONFIG_DEF);
        ServerTopicConfigSynonyms.ALL_TOPIC_CONFIG_SYNONYMS.forEach((name, synonyms) -> {
            StringBuilder line = new StringBuilder("synonyms\t" + name);
            for (ConfigSynonym synonym : synonyms) {
                line.append("\t").append(synonym.name());
                line.append("\t").append(synonym.converter().apply("1"));
            }
            System.out.println(line);
        });
        DynamicBrokerConfig.ALL_DYNAMIC_CONFIGS.forEach(name ->
            System.out.println("dynamic\t" + name));
    }

    private static void settings(String scope, ConfigDef definition) {
        new TreeMap<>(definition.configKeys()).forEach((name, key) -> {
            String value = key.defaultValue == ConfigDef.NO_DEFAULT_VALUE ? "required"
                : String.valueOf(ConfigDef.convertToString(key.defaultValue, key.type));
            System.out.println(scope + "\t" + name + "\t" + key.type + "\t" + value + "\t"
                + key.validator + "\t" + key.internalConfig);
        });
    }
}
